"""The table of addresses in `docs/pictures.md`, against a real server on the loopback interface."""

import socket
import traceback
import tracemalloc

import numpy as np
import pytest

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images.fetch import DOWNLOAD_SECONDS, MAX_DOWNLOAD_BYTES, fetch_url
from modelscope_vitadapter.images.reading import read_image
from tests.images.makers import BGR
from tests.images.odd_server import PASSWORD, PICTURE_FILE, USER, Server
from tests.images.table import PAGE, rows

FETCHED = {
    "picture over http": ("/picture",),
    "no length, or one that is no number": ("/no-length", "/length-in-words"),
    "letters beyond ASCII, blanks": ("/照片 1.png",),
    "answer compressed with gzip": ("/gzip",),
    "user name and password in the address": ("/password", "/redirect-password"),
    "redirect": ("/redirect",),
    "redirect to another host": ("/elsewhere",),
    "redirect with a body without end": ("/redirect-endless",),
    "headers of any bytes": ("/header-garbage",),
}
FAST = {"seconds": 0.5}
NOT_FETCHED = {
    "no such resource (404, 410)": (("/404", "/410"), "does not exist: the server answers 4", {}),
    "other answers than 200": (("/500", "/401"), "can't be fetched", {}),
    "redirect to file:, ftp: or data:": (
        ("/to-file", "/to-data"),
        "address other than http or https",
        {},
    ),
    "redirects in a circle": (("/circle",), "more than 10 redirects", {}),
    "redirect to what is no address": (("/to-garbage", "/to-nowhere"), "check the address", {}),
    "more bytes than are read": (("/endless", "/picture"), "more than 99 bytes", {"max_bytes": 99}),
    "more bytes announced than are read": (
        ("/announced", "/announced-at-length"),
        f"more than {MAX_DOWNLOAD_BYTES} bytes",
        {},
    ),
    "gzip bomb": (("/gzip-bomb",), f"more than {MAX_DOWNLOAD_BYTES} bytes", {}),
    "answer encoded more than once, or otherwise than by gzip or deflate": (
        ("/gzip-twice", "/zstd"),
        "encoded more than once or in an unusual way",
        {},
    ),
    "answer that is not encoded as it says": (("/garbled",), "DecodeError", {}),
    "answer cut short": (("/cut", "/nothing"), "check the address", {}),
    "no answer": (("/silent",), r"0\.2 s \(data\)", {"silence": (5, 0.2)}),
    "answer drop by drop": (("/drip", "/slow-circle"), "takes too long, more than 0.5 s", FAST),
    "no HTTP": (("/no-http",), "check the address", {}),
}
NOT_IMAGES = {
    "text in place of a picture": ("/text", "is no image that is read"),
    "shorter length than the picture's": ("/length-too-small", "can't be decoded"),
}
NO_ADDRESSES = {
    "no host, or none that can be": ("http://", "http:///a.png", f"http://{'a' * 70}.invalid/a"),
    "port that is none": ("http://127.0.0.1:port/a.png", "http://127.0.0.1:99999/a.png"),
    "brackets that do not match": ("http://[::1/a.png",),
}
OTHERS = {
    "IPv6 address": "answer",
    "nobody listens": "refusal",
    "https where there is only http": "refusal",
}


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as environment, Server() as server:
        environment.setenv("NO_PROXY", "127.0.0.1,localhost,::1,invalid")
        yield server


def address(server, path, scheme="http"):
    return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{server.port}{path}?signature={PASSWORD}"


def refusal(url, **options):
    """The refusal, which names the address and shows no secret."""
    with pytest.raises(ImageError) as caught:
        fetch_url(url, **options)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value).startswith("URL 'http")
    return caught


def test_each_row_has_a_case_and_each_case_a_row():
    refused = {**NOT_FETCHED, **NOT_IMAGES, **NO_ADDRESSES}
    cases = dict.fromkeys(FETCHED, "answer") | dict.fromkeys(refused, "refusal") | OTHERS
    assert rows("Addresses") == cases
    page = PAGE.read_text(encoding="utf-8")
    assert f"{MAX_DOWNLOAD_BYTES // 2**20} MiB" in page
    assert f"after {DOWNLOAD_SECONDS:g} s in all" in page


@pytest.mark.parametrize("form", FETCHED)
def test_answered(server, form):
    for path in FETCHED[form]:
        assert fetch_url(address(server, path)) == PICTURE_FILE
        assert np.array_equal(read_image(address(server, path)), BGR)


@pytest.mark.parametrize("form", NOT_FETCHED)
def test_refused(server, form):
    paths, words, options = NOT_FETCHED[form]
    for path in paths:
        caught = refusal(address(server, path), **options)
        caught.match(words)
        assert f"URL 'http://127.0.0.1:{server.port}{path}" in str(caught.value)
        assert isinstance(caught.value, ImageNotFoundError) == (path in ("/404", "/410"))


@pytest.mark.parametrize("form", NOT_IMAGES)
def test_what_arrives_is_no_image(server, form):
    path, words = NOT_IMAGES[form]
    with pytest.raises(ImageError, match=words) as caught:
        read_image(address(server, path))
    assert str(caught.value).startswith(f"URL 'http://127.0.0.1:{server.port}{path}?...'")


@pytest.mark.parametrize("form", NO_ADDRESSES)
def test_no_addresses(server, form, monkeypatch, tmp_path):
    # With such a file the client looks at the address before it checks it.
    (tmp_path / "netrc").write_text("machine example.org login me password x\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for url in NO_ADDRESSES[form]:
        refusal(url).match("check the address")


def test_ipv6():
    try:
        server = Server("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with pytest.MonkeyPatch.context() as environment, server:
        environment.setenv("NO_PROXY", "::1,[::1]")
        assert fetch_url(f"http://[::1]:{server.port}/picture") == PICTURE_FILE


def test_nobody_listens(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        caught = refusal(f"http://me:{PASSWORD}@127.0.0.1:{port}/a.png?signature={PASSWORD}")
    caught.match(r"can't be fetched: ConnectionError \(Connection refused\).*check the address")


def test_https_where_there_is_only_http(server):
    refusal(address(server, "/picture", "https"), silence=(1, 1)).match("SSLError|did not answer")


def test_a_password_goes_to_its_own_host_only(server):
    server.heads.clear()
    fetch_url(address(server, "/elsewhere"))
    # A hello of TLS to this server, of another test, may still arrive.
    first, second = [head for head in server.heads if head and head[0].startswith(b"GET")]
    assert any(line.startswith(b"Authorization") for line in first)
    assert not any(line.startswith(b"Authorization") for line in second)


def test_a_bomb_takes_no_more_memory_than_the_limit(server):
    tracemalloc.start()
    try:
        refusal(address(server, "/gzip-bomb"), max_bytes=2**20).match("more than 1048576 bytes")
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()
