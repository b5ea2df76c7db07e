"""The table of addresses in `docs/pictures.md`, against a real server on the loopback interface."""

import socket
import traceback
import tracemalloc

import numpy as np
import pytest

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images import fetch
from modelscope_vitadapter.images.reading import read_image
from tests.images.makers import BGR, PAGE, rows
from tests.images.odd_server import PASSWORD, PICTURE_FILE, USER, Server

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
LONG = f"more than {fetch.MAX_DOWNLOAD_BYTES} bytes"
NOT_FETCHED = {
    "no such resource (404, 410)": ("does not exist: the server answers 4", "/404", "/410"),
    "other answers than 200": ("can't be fetched: the server answers", "/500", "/401"),
    "redirect to file:, ftp: or data:": ("other than http or https", "/to-file", "/to-data"),
    "redirects in a circle": ("more than 10 redirects", "/circle"),
    "redirect to what is no address": ("check the address", "/to-garbage", "/to-nowhere"),
    "more bytes than are read": ("more than 99 bytes", "/endless", "/picture"),
    "more bytes announced than are read": (LONG, "/announced", "/announced-at-length"),
    "gzip bomb": (LONG, "/gzip-bomb"),
    "answer encoded more than once, or otherwise than by gzip or deflate": (
        *("encoded more than once or in an unusual way", "/gzip-twice", "/zstd"),
    ),
    "answer that is not encoded as it says": ("DecodeError", "/garbled"),
    "answer cut short": ("check the address", "/cut", "/nothing"),
    "no answer": (r"0\.2 s \(data\)", "/silent"),
    "answer drop by drop": ("takes too long, more than 0.5 s", "/drip", "/slow-circle"),
    "no HTTP": ("check the address", "/no-http"),
    "text in place of a picture": ("is no image that is read", "/text"),
    "shorter length than the picture's": ("can't be decoded", "/length-too-small"),
}
LIMITS = {
    "more bytes than are read": ("MAX_DOWNLOAD_BYTES", 99),
    "no answer": ("SILENCE_SECONDS", (5, 0.2)),
    "answer drop by drop": ("DOWNLOAD_SECONDS", 0.5),
}

NO_ADDRESSES = {
    "no host, or none that can be": ("http://", "http:///a.png", f"http://{'a' * 70}.invalid/a"),
    "port that is none": ("http://127.0.0.1:port/a.png", "http://127.0.0.1:99999/a.png"),
    "brackets that do not match": ("http://[::1/a.png",),
}


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as environment, Server() as server:
        environment.setenv("NO_PROXY", "127.0.0.1,localhost,::1,invalid")
        yield server


def address(server, path, scheme="http"):
    return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{server.port}{path}?signature={PASSWORD}"


def refusal(url):
    """The refusal, which names the address and shows no secret."""
    with pytest.raises(ImageError) as caught:
        read_image(url)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value).startswith("URL 'http")
    return caught


def test_each_row_has_a_case_and_each_case_a_row():
    refused = *NOT_FETCHED, *NO_ADDRESSES, "nobody listens", "https where there is only http"
    cases = dict.fromkeys([*FETCHED, "IPv6 address"], "answer") | dict.fromkeys(refused, "refusal")
    assert rows("Addresses") == cases
    assert f"{fetch.MAX_DOWNLOAD_BYTES // 2**20} MiB" in PAGE
    assert f"after {fetch.DOWNLOAD_SECONDS:g} s in all" in PAGE


@pytest.mark.parametrize("form", FETCHED)
def test_answered(server, form):
    for path in FETCHED[form]:
        assert fetch.fetch_url(address(server, path)) == PICTURE_FILE
        assert np.array_equal(read_image(address(server, path)), BGR)


@pytest.mark.parametrize("form", NOT_FETCHED)
def test_refused(server, form, monkeypatch):
    words, *paths = NOT_FETCHED[form]
    if form in LIMITS:
        monkeypatch.setattr(fetch, *LIMITS[form])
    for path in paths:
        caught = refusal(address(server, path))
        caught.match(words)
        assert f"URL 'http://127.0.0.1:{server.port}{path}?...'" in str(caught.value)
        assert isinstance(caught.value, ImageNotFoundError) == (path in ("/404", "/410"))


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
        assert fetch.fetch_url(f"http://[::1]:{server.port}/picture") == PICTURE_FILE


def test_nobody_listens(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        caught = refusal(f"http://me:{PASSWORD}@127.0.0.1:{port}/a.png?signature={PASSWORD}")
    caught.match(r"can't be fetched: ConnectionError \(Connection refused\).*check the address")


def test_https_where_there_is_only_http(server, monkeypatch):
    monkeypatch.setattr(fetch, "SILENCE_SECONDS", (1, 1))
    refusal(address(server, "/picture", "https")).match("SSLError|did not answer")


def test_a_password_goes_to_its_own_host_only(server):
    server.heads.clear()
    fetch.fetch_url(address(server, "/elsewhere"))
    # A hello of TLS to this server, of another test, may still arrive.
    first, second = [head for head in server.heads if head and head[0].startswith(b"GET")]
    assert any(line.startswith(b"Authorization") for line in first)
    assert not any(line.startswith(b"Authorization") for line in second)


def test_a_bomb_takes_no_more_memory_than_the_limit(server, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_DOWNLOAD_BYTES", 2**20)
    tracemalloc.start()
    refusal(address(server, "/gzip-bomb")).match("more than 1048576 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20
