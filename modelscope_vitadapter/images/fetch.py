"""The bytes of an encoded image, from a file or from the web."""

import os
import stat
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images.limits import BY_TILES
from modelscope_vitadapter.images.naming import describe, is_url
from modelscope_vitadapter.images.tiff_directory import is_tiff

MAX_FILE_BYTES = 2**30
MAX_DOWNLOAD_BYTES = 2**28  # of an answer after content decoding
MAX_REDIRECTS = 10
SILENCE_SECONDS = (10.0, 30.0)  # of waiting for a connection, and for the next bytes of an answer
DOWNLOAD_SECONDS = 300.0
"""Of everything, with redirects; looked at after headers and after each packet."""

_LOCAL = "pass a local file"
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")
"""Of what was asked not to be encoded. These grow by a thousand times at most in one packet; what
others can, older versions of urllib3 unpack without a limit."""


def read_file(path: Path) -> bytes:
    """Reads an image file of at most `MAX_FILE_BYTES`.

    Raises:
        ImageNotFoundError: there is no such file.
        ImageError: it is a directory, a pipe or a device, can't be read, or is too long.
    """
    name = describe(path)
    try:
        if path.is_dir():
            raise ImageError(f"{name} is a directory, expected an image: pass one of its files")
        # A named pipe would make a plain `open` wait for whoever writes to it.
        flag = getattr(os, "O_NONBLOCK", 0)
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | flag)) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ImageError(
                    f"{name} is a pipe or a device, expected an image file: read it yourself and "
                    "pass the bytes"
                )
            content = stream.read(MAX_FILE_BYTES + 1)
    except ImageError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "does not exist, expected an image file; check the path"
        raise ImageNotFoundError(f"{name} {what}") from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name} can't be read: {getattr(error, 'strerror', None) or error}; expected an image "
            "file that may be opened"
        ) from error
    _check_length(name, len(content), MAX_FILE_BYTES, is_tiff=is_tiff(content[:4]))
    return content


def fetch_url(url: str) -> bytes:
    """Fetches an encoded image over http or https, within the limits above.

    Redirects are followed to http and https only: no other scheme, thus no local file, can be
    reached through an address.

    Raises:
        ImageNotFoundError: the server answers that there is no such resource.
        ImageError: anything else that keeps the image from arriving.
    """
    name = describe(url)
    end = time.monotonic() + DOWNLOAD_SECONDS
    try:
        with _Session() as session:
            # Images are compressed by themselves; some servers encode their answer all the same.
            session.headers["Accept-Encoding"] = "identity"
            for _ in range(MAX_REDIRECTS + 1):
                with session.get(url, stream=True, timeout=SILENCE_SECONDS) as answer:
                    if not answer.is_redirect:
                        return _content(answer, name, end)
                    url = _next_address(session, url, answer.headers["Location"], name)
                _check_time(name, end)
    except ImageError:
        raise
    except Exception as error:  # of requests, urllib3, sockets, or of decoding an address
        # The cause is left out of the trace: its text holds the address with its secrets.
        raise _not_fetched(name, error) from None
    raise _refusal(name, f"more than {MAX_REDIRECTS} redirects", "pass where they lead to")


class _Session(requests.Session):
    """Follows no redirect by itself, since it would read the redirect's body to its end."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _next_address(session: requests.Session, url: str, target: str, name: str) -> str:
    """Where a redirect leads; user name and password are kept for the same host."""
    address = urljoin(url, target.encode("latin-1").decode("utf-8"))
    if not is_url(address):
        what = "it leads to an address other than http or https"
        raise _refusal(name, what, "pass the address of the image itself")
    user, has_user, _ = urlsplit(url).netloc.rpartition("@")
    parts = urlsplit(address)
    if has_user and "@" not in parts.netloc and not session.should_strip_auth(url, address):
        address = parts._replace(netloc=f"{user}@{parts.netloc}").geturl()
    return address


def _content(answer: requests.Response, name: str, end: float) -> bytes:
    status = answer.status_code
    if status in (404, 410):
        what = f"does not exist: the server answers {status}; check the address"
        raise ImageNotFoundError(f"{name} {what}")
    if status != 200:
        remedy = "check the address, and whether one has to log in"
        raise _refusal(name, f"the server answers {status}, expected 200", remedy)
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal():  # of thousands of digits Python makes no number
        _check_length(name, int(length[:20]), MAX_DOWNLOAD_BYTES)
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        what = f"the answer is encoded more than once or in an unusual way ({encoding!r:.60})"
        raise _refusal(name, f"{what}, expected the image as it is, or gzip", _LOCAL)
    # read1 returns after each packet, so that the time is looked at while a body trickles in;
    # urllib3 1.x has only read, which waits for the whole chunk.
    read = getattr(answer.raw, "read1", answer.raw.read)
    content = bytearray()
    while chunk := read(2**16, decode_content=True):
        content += chunk
        _check_length(name, len(content), MAX_DOWNLOAD_BYTES)
        _check_time(name, end)
    return bytes(content)


def _check_length(name: str, length: int, most: int, *, is_tiff: bool = False) -> None:
    if length > most:
        more = f"; {BY_TILES}" if is_tiff else ""
        raise ImageError(
            f"{name} holds more than {most} bytes, the most that is read; save it smaller, or "
            f"decode it yourself and pass an array{more}"
        )


def _check_time(name: str, end: float) -> None:
    if time.monotonic() >= end:
        raise _refusal(name, f"it takes too long, more than {DOWNLOAD_SECONDS:g} s", _LOCAL)


def _not_fetched(name: str, error: Exception) -> ImageError:
    """What is raised in place of an error of the client."""
    if "Timeout" in type(error).__name__:  # of requests, of urllib3 or of a socket
        waited = f"{SILENCE_SECONDS[0]:g} s (connection) or {SILENCE_SECONDS[1]:g} s (data)"
        what = f"the server did not answer within {waited}"
        return _refusal(name, what, f"try again, or {_LOCAL}")
    reason, cause = "", error.__context__
    while cause is not None and not reason:  # what the operating system said
        reason = f" ({cause.strerror})" if isinstance(cause, OSError) and cause.strerror else ""
        cause = cause.__cause__ or cause.__context__
    remedy = f"check the address and the network, or {_LOCAL}"
    return _refusal(name, f"{type(error).__name__}{reason}", remedy)


def _refusal(name: str, what: str, remedy: str) -> ImageError:
    return ImageError(f"{name} can't be fetched: {what}; {remedy}")
