import gzip
import http.server
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images.fetch import fetch_url, read_file
from modelscope_vitadapter.images.inputs import read_image

PIXELS = np.random.default_rng(4).integers(0, 256, (5, 6, 3)).astype(np.uint8)
STREAM = io.BytesIO()
Image.fromarray(PIXELS).save(STREAM, "PNG")
PNG = STREAM.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in ("/photo.png", "/%E7%85%A7%E7%89%87%201.png"):
            self.answer(body=PNG, Content_Length=str(len(PNG)))
        elif path == "/gzip":
            self.answer(body=gzip.compress(PNG), Content_Encoding="gzip")
        elif path == "/bomb":
            self.answer(body=gzip.compress(bytes(10**6)), Content_Encoding="gzip")
        elif path == "/garbled":
            self.answer(body=b"no gzip at all", Content_Encoding="gzip")
        elif path == "/text":
            self.answer(body=b"<html>", Content_Type="text/html")
        elif path == "/endless":
            self.answer(body=bytes(200_000))
        elif path == "/announced":
            self.answer(Content_Length=str(10**12))
        elif path == "/short":
            self.answer(body=PNG[:50], Content_Length=str(len(PNG)))
        elif path == "/silent":
            self.server.closing.wait()
        elif path == "/redirect":
            self.answer(302, Location="/photo.png")
        elif path == "/loop":
            self.answer(302, Location="/loop")
        elif path == "/local":
            self.answer(302, Location=self.server.secret.as_uri())
        elif path == "/ftp":
            self.answer(302, Location="ftp://127.0.0.1/photo.png")
        else:
            self.answer(int(path[1:]))


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.closing = threading.Event()
    server.secret = tmp_path / "secret.png"
    server.secret.write_bytes(PNG)
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "path", ["/photo.png", "/photo.png?key=1", "/redirect", "/照片 1.png", "/gzip"]
)
def test_pictures_are_fetched(server, path):
    assert fetch_url(server.url + path) == PNG
    assert np.array_equal(read_image(server.url + path)[:, :, ::-1], PIXELS)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/local", "other than http or https"),
        ("/ftp", "other than http or https"),
        ("/loop", "redirects"),
        ("/500", "answers 500"),
        ("/403", "answers 403"),
        ("/204", "answers 204"),
        ("/announced", "more than 268435456 bytes"),
        ("/short", "IncompleteRead|ProtocolError"),
        ("/garbled", "DecodeError"),
    ],
)
def test_what_does_not_arrive_is_one_clear_error(server, path, words):
    with pytest.raises(ImageError, match=words) as caught:
        fetch_url(server.url + path)
    assert f"URL '{server.url}{path}'" in str(caught.value)


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_resource_is_a_missing_file(server, status):
    with pytest.raises(FileNotFoundError, match=f"the server answers {status}"):
        fetch_url(f"{server.url}/{status}")


@pytest.mark.parametrize("path", ["/endless", "/bomb", "/photo.png"])
def test_long_answers_are_cut_off(server, path):
    with pytest.raises(ImageError, match="more than 99 bytes"):
        fetch_url(server.url + path, max_bytes=99)


def test_text_is_no_picture(server):
    with pytest.raises(ImageError, match=r"/text' is no picture .*b'<html>'"):
        read_image(server.url + "/text")


def test_a_silent_server_ends_in_an_error(server):
    with pytest.raises(ImageError, match=r"/silent.*0\.05 s \(data\)"):
        fetch_url(server.url + "/silent", read_seconds=0.05)


def test_an_answer_beyond_the_total_time_ends_in_an_error(server):
    with pytest.raises(ImageError, match="takes too long"):
        fetch_url(server.url + "/photo.png", download_seconds=0)


def test_no_server_and_no_host_are_one_clear_error(server):
    port = server.server_port
    server.shutdown()
    server.server_close()
    with pytest.raises(ImageError, match=r"ConnectionError.*; check the address"):
        fetch_url(f"http://127.0.0.1:{port}/photo.png")
    with pytest.raises(ImageError, match="InvalidURL; check the address"):
        fetch_url("http://")


def test_secrets_of_an_address_stay_out_of_errors(server):
    address = server.url.replace("//", "//me:password@") + "/500?signature=abc"
    with pytest.raises(ImageError) as caught:
        fetch_url(address)
    assert "password" not in str(caught.value)
    assert "signature" not in str(caught.value)


def test_files_are_read(tmp_path):
    path = tmp_path / "照片 1.png"
    path.write_bytes(PNG)
    assert read_file(path) == PNG
    assert read_file(path, max_bytes=len(PNG)) == PNG
    with pytest.raises(ImageError, match="holds more than"):
        read_file(path, max_bytes=len(PNG) - 1)


def test_missing_files_and_directories_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "missing.png", tmp_path / "no" / "way.png", tmp_path / "file" / "a"):
        with pytest.raises(ImageNotFoundError, match="does not exist"):
            read_file(path)
    with pytest.raises(ImageError, match="is a directory"):
        read_file(tmp_path)


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000])
def test_impossible_paths_are_one_clear_error(name):
    with pytest.raises(ImageError, match="image file"):
        read_file(Path(name))
