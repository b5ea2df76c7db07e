"""The bytes of an encoded image, from a file or from the web."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images.naming import describe, is_url

if TYPE_CHECKING:
    import requests

MAX_FILE_BYTES = 2**30
"""Longest image file that is read, in bytes (1 GiB)."""

MAX_DOWNLOAD_BYTES = 2**28
"""Longest answer that is accepted from a URL, in bytes (256 MiB)."""

SILENCE_SECONDS = (10.0, 30.0)
"""Longest wait for a connection to a web server, and for the next bytes of an answer."""

DOWNLOAD_SECONDS = 300.0
"""Longest time for everything, redirects included; looked at once the headers of an answer are
there, and after each packet of its body."""

MAX_REDIRECTS = 10
"""Longest chain of redirects that is followed."""

_CHUNK_BYTES = 2**16
_LOCAL = "pass a local file"
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")
"""Of what was asked not to be encoded. These grow by a thousand times at most in one packet; what
others can, older versions of urllib3 unpack without a limit."""


def read_file(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Reads an image file, as bytes so that names of any letters work on Windows too.

    Args:
        path: the file.
        max_bytes: longest file that is read, in bytes.

    Raises:
        ImageNotFoundError: there is no such file.
        ImageError: the path is a directory, a pipe or a device, can't be read, or holds more than
            `max_bytes`.
    """
    name = describe(path)
    try:
        if path.is_dir():
            raise ImageError(
                f"{name} is a directory, expected an image file: pass one of its files"
            )
        with open(path, "rb", opener=_open_without_waiting) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ImageError(
                    f"{name} is a pipe or a device, expected an image file: read it yourself and "
                    "pass the bytes"
                )
            content = stream.read(max_bytes + 1)
    except ImageError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(
            f"{name} does not exist, expected an image file; check the path"
        ) from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name} can't be read: {getattr(error, 'strerror', None) or error}; expected an image "
            "file that may be opened"
        ) from error
    if len(content) > max_bytes:
        raise _too_long(name, max_bytes)
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    """Opens a file; a named pipe would make a plain `open` wait for whoever writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def fetch_url(
    url: str,
    *,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
    silence: tuple[float, float] = SILENCE_SECONDS,
    seconds: float = DOWNLOAD_SECONDS,
) -> bytes:
    """Fetches an encoded image over http or https.

    Redirects are followed to http and https only: no other scheme, thus no local file, can be
    reached through an address.

    Args:
        url: an address that begins with `http://` or `https://`.
        max_bytes: longest answer that is accepted, in bytes, after content decoding.
        silence: see `SILENCE_SECONDS`.
        seconds: see `DOWNLOAD_SECONDS`.

    Returns:
        The body of the answer.

    Raises:
        ImageNotFoundError: the server answers that there is no such resource.
        ImageError: anything else that keeps the image from arriving.
    """
    import requests

    class Session(requests.Session):
        """Follows no redirect by itself, since it would read the redirect's body to its end."""

        def get_redirect_target(self, resp: requests.Response) -> None:
            return None

    name = describe(url)
    end = time.monotonic() + seconds

    def check_time() -> None:
        if time.monotonic() >= end:
            raise _refusal(
                name, f"the whole answer takes too long, more than {seconds:g} s", _LOCAL
            )

    # Images are compressed by themselves; some servers encode their answer all the same.
    headers = {"Accept-Encoding": "identity"}
    try:
        with Session() as session:
            for _ in range(MAX_REDIRECTS + 1):
                with session.get(url, stream=True, timeout=silence, headers=headers) as answer:
                    if not answer.is_redirect:
                        _check_head(answer, max_bytes, name)
                        return _read_body(answer, max_bytes, name, check_time)
                    url = _next_address(session, url, answer.headers["Location"], name)
                check_time()
    except ImageError:
        raise
    except Exception as error:  # of requests, urllib3, sockets, or of decoding an address
        # The cause is left out of the trace: its text holds the address with its secrets.
        raise _not_fetched(name, error, silence) from None
    raise _refusal(name, f"more than {MAX_REDIRECTS} redirects", "pass where they lead to")


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


def _check_head(answer: requests.Response, max_bytes: int, name: str) -> None:
    status = answer.status_code
    if status in (404, 410):
        raise ImageNotFoundError(
            f"{name} does not exist: the server answers {status}; check the address"
        )
    if status != 200:
        remedy = "check the address, and whether one has to log in"
        raise _refusal(name, f"the server answers {status}, expected 200", remedy)
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and (len(length) > 20 or int(length) > max_bytes):
        raise _too_long(name, max_bytes)
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        what = f"the answer is encoded more than once or in an unusual way ({encoding!r:.60})"
        raise _refusal(name, f"{what}, expected the image as it is, or gzip", _LOCAL)


def _read_body(
    answer: requests.Response, max_bytes: int, name: str, check_time: Callable[[], None]
) -> bytes:
    # read1 returns after each packet, so that the time is looked at while a body trickles in;
    # urllib3 1.x has only read, which waits for the whole chunk.
    read = getattr(answer.raw, "read1", answer.raw.read)
    content = bytearray()
    while chunk := read(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > max_bytes:
            raise _too_long(name, max_bytes)
        check_time()
    return bytes(content)


def _too_long(name: str, max_bytes: int) -> ImageError:
    return ImageError(
        f"{name} holds more than {max_bytes} bytes, the most that is read; save it smaller, or "
        "decode it yourself and pass an array"
    )


def _not_fetched(name: str, error: Exception, silence: tuple[float, float]) -> ImageError:
    """What is raised in place of an error of the client."""
    import requests
    import urllib3

    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        waited = f"{silence[0]:g} s (connection) or {silence[1]:g} s (data)"
        return _refusal(
            name, f"the server did not answer within {waited}", f"try again, or {_LOCAL}"
        )
    reason, cause = "", error.__context__
    while cause is not None and not reason:  # what the operating system said
        reason = f" ({cause.strerror})" if isinstance(cause, OSError) and cause.strerror else ""
        cause = cause.__cause__ or cause.__context__
    remedy = f"check the address and the network, or {_LOCAL}"
    return _refusal(name, f"{type(error).__name__}{reason}", remedy)


def _refusal(name: str, what: str, remedy: str) -> ImageError:
    return ImageError(f"{name} can't be fetched: {what}; {remedy}")
