"""The bytes of an encoded picture, from a file or from the web."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images.deadline import Deadline, watched_session
from modelscope_vitadapter.images.naming import describe, is_url

if TYPE_CHECKING:
    import requests

MAX_FILE_BYTES = 2**30
"""Longest image file that is read, in bytes (1 GiB)."""

MAX_DOWNLOAD_BYTES = 2**28
"""Longest answer that is accepted from a URL, in bytes (256 MiB)."""

CONNECT_SECONDS = 10.0
"""Longest wait for a connection to a web server."""

READ_SECONDS = 30.0
"""Longest silence of a web server within an answer."""

DOWNLOAD_SECONDS = 300.0
"""Longest time for everything, redirects included: a server that sends a byte now and then ends
too."""

MAX_REDIRECTS = 10
"""Longest chain of redirects that is followed."""

_CHUNK_BYTES = 2**16
_GONE = (404, 410)
_ENCODINGS = {"", "identity", "gzip", "x-gzip", "deflate"}
"""Of what was asked not to be encoded. These grow by a thousand times at most in one packet; what
others can, older versions of urllib3 unpack without a limit."""


def read_file(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read an image file.

    The file is read as bytes and decoded elsewhere, so that names with letters outside the
    system's code page work on Windows too.

    Args:
        path: The file.
        max_bytes: Longest file that is read, in bytes.

    Returns:
        The content of the file.

    Raises:
        ImageNotFoundError: There is no such file.
        ImageError: The path is a directory, a pipe or a device, cannot be read, or holds more than
            `max_bytes`.
    """
    name = describe(path)
    try:
        if path.is_dir():
            raise ImageError(
                f"{name} is a directory, expected an image file: pass one of its files"
            )
        with open(path, "rb", opener=_open_without_waiting) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ImageError(
                    f"{name} is a pipe or a device, expected an image file: read it yourself and "
                    "pass the bytes"
                )
            length = min(about.st_size, max_bytes)
            return _read_at_most(stream.read, max_bytes, name, at_first=length + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(
            f"{name} does not exist, expected an image file; check the path"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(
            f"{name} cannot be read: {reason}; expected an image file that may be opened"
        ) from error


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe would make a plain `open` wait for whoever writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def fetch_url(
    url: str,
    *,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
    download_seconds: float = DOWNLOAD_SECONDS,
) -> bytes:
    """Fetch an encoded picture over http or https.

    Redirects are followed to http and https only: no other scheme, thus no local file, can be
    reached through an address.

    Args:
        url: An address that begins with `http://` or `https://`.
        max_bytes: Longest answer that is accepted, in bytes, after content decoding.
        connect_seconds: Longest wait for a connection.
        read_seconds: Longest silence of the server.
        download_seconds: Longest time for the whole, redirects included.

    Returns:
        The body of the answer.

    Raises:
        ImageNotFoundError: The server answers that there is no such resource.
        ImageError: Anything else that keeps the picture from arriving.
    """
    name = describe(url)
    silence = (connect_seconds, read_seconds)
    with Deadline(download_seconds) as deadline, watched_session(deadline) as session:
        try:
            return _fetch(session, url, name, max_bytes, silence, deadline)
        except ImageError:
            raise
        except Exception as error:  # of requests, urllib3, sockets, or of decoding an address
            # The cause is left out of the trace: its text holds the address with its secrets.
            raise _not_fetched(name, error, silence, deadline) from None


def _fetch(
    session: requests.Session,
    url: str,
    name: str,
    max_bytes: int,
    silence: tuple[float, float],
    deadline: Deadline,
) -> bytes:
    for _ in range(MAX_REDIRECTS + 1):
        # Pictures are compressed by themselves; some servers encode their answer all the same.
        headers = {"Accept-Encoding": "identity"}
        with session.get(url, stream=True, timeout=silence, headers=headers) as answer:
            target = _redirect_target(answer)
            if target is None:
                _check_head(answer, max_bytes, name)
                content = _read_at_most(_reader(answer.raw), max_bytes, name, deadline=deadline)
                if deadline.passed:  # the connection was shut down, which looks like an end
                    raise _too_slow(name, deadline)
                return content
        url = _next_address(session, url, target, name)
    raise ImageError(
        f"{name} cannot be fetched: more than {MAX_REDIRECTS} redirects; pass the address that "
        "they lead to"
    )


def _redirect_target(answer: requests.Response) -> str | None:
    """Return where an answer sends its reader, as it is written there."""
    if not answer.is_redirect:
        return None
    return answer.headers["Location"].encode("latin-1").decode("utf-8")


def _next_address(session: requests.Session, url: str, target: str, name: str) -> str:
    address = urljoin(url, target)
    if not is_url(address):
        raise ImageError(
            f"{name} cannot be fetched: it leads to an address other than http or https; pass the "
            "address of the picture itself"
        )
    user, has_user, _ = urlsplit(url).netloc.rpartition("@")
    parts = urlsplit(address)
    if has_user and "@" not in parts.netloc and not session.should_strip_auth(url, address):
        address = parts._replace(netloc=f"{user}@{parts.netloc}").geturl()
    return address


def _check_head(answer: requests.Response, max_bytes: int, name: str) -> None:
    status = answer.status_code
    if status in _GONE:
        raise ImageNotFoundError(
            f"{name} does not exist: the server answers {status}; check the address"
        )
    if status != 200:
        raise ImageError(
            f"{name} cannot be fetched: the server answers {status}, expected 200; check the "
            "address, and whether one has to log in"
        )
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and (len(length) > len(str(max_bytes)) or int(length) > max_bytes):
        raise _too_long(name, max_bytes)
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise ImageError(
            f"{name} cannot be fetched: the answer is encoded more than once or in an unusual way "
            f"({encoding!r:.60}), expected the picture as it is, or gzip; pass a local file"
        )


def _reader(raw: object) -> Callable[[int], bytes]:
    """Return a function that reads what has arrived, at most so many decoded bytes."""
    # read1 returns after each packet, so the time limit also ends a trickling answer;
    # urllib3 1.x has only read, which waits for the whole chunk.
    read: Callable[..., bytes] = getattr(raw, "read1", None) or raw.read  # type: ignore[attr-defined]
    return lambda size: read(size, decode_content=True)


def _read_at_most(
    read: Callable[[int], bytes],
    max_bytes: int,
    name: str,
    *,
    at_first: int = _CHUNK_BYTES,
    deadline: Deadline | None = None,
) -> bytes:
    first, rest = read(at_first), bytearray()
    while chunk := read(_CHUNK_BYTES) if len(first) + len(rest) <= max_bytes else b"":
        rest += chunk
        if deadline is not None and deadline.passed:
            raise _too_slow(name, deadline)
    if len(first) + len(rest) > max_bytes:
        raise _too_long(name, max_bytes)
    return first + rest if rest else first


def _too_long(name: str, max_bytes: int) -> ImageError:
    return ImageError(
        f"{name} holds more than {max_bytes} bytes, the most that is read; save it smaller, or "
        "decode it yourself and pass an array"
    )


def _too_slow(name: str, deadline: Deadline) -> ImageError:
    return ImageError(
        f"{name} cannot be fetched: the whole answer takes too long, more than "
        f"{deadline.seconds:g} s; pass a local file"
    )


def _not_fetched(
    name: str, error: Exception, silence: tuple[float, float], deadline: Deadline
) -> ImageError:
    """Return what is raised in place of an error of the client."""
    import requests
    import urllib3

    if deadline.passed:
        return _too_slow(name, deadline)
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return ImageError(
            f"{name} cannot be fetched: the server did not answer within {silence[0]:g} s "
            f"(connection) or {silence[1]:g} s (data); try again, or pass a local file"
        )
    reason = _reason(error)
    return ImageError(
        f"{name} cannot be fetched: {type(error).__name__}{reason}; check the address and the "
        "network, or pass a local file"
    )


def _reason(error: BaseException | None) -> str:
    """Return what the operating system said, if an error goes back to it."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return f" ({error.strerror})"
        error = error.__cause__ or error.__context__
    return ""
