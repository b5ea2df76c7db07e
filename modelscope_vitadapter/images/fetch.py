"""The bytes of an encoded picture, from a file or from the web."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images.naming import describe

MAX_FILE_BYTES = 2**30
"""Longest image file that is read, in bytes (1 GiB)."""

MAX_DOWNLOAD_BYTES = 2**28
"""Longest answer that is accepted from a URL, in bytes (256 MiB)."""

CONNECT_SECONDS = 10.0
"""Longest wait for a connection to a web server."""

READ_SECONDS = 30.0
"""Longest silence of a web server within an answer."""

DOWNLOAD_SECONDS = 300.0
"""Longest time for a whole answer: a server that sends a byte now and then ends too."""

MAX_REDIRECTS = 10

_CHUNK_BYTES = 2**16
_GONE = (404, 410)


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
        ImageError: The path is a directory, cannot be read or holds more than `max_bytes`.
    """
    name = describe(path)
    try:
        if path.is_dir():
            raise ImageError(f"{name} is a directory, expected an image file")
        with path.open("rb") as stream:
            return _read_at_most(stream.read, max_bytes, name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(f"{name} does not exist, expected an image file") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{name} cannot be read: {reason}; expected an image file") from error


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
        download_seconds: Longest time for the whole answer.

    Returns:
        The body of the answer.

    Raises:
        ImageNotFoundError: The server answers that there is no such resource.
        ImageError: Anything else that keeps the picture from arriving.
    """
    # ModelScope's own client: the same proxies, certificates and non-ASCII addresses work.
    import requests

    name = describe(url)
    try:
        with requests.Session() as session:
            session.max_redirects = MAX_REDIRECTS
            with session.get(url, stream=True, timeout=(connect_seconds, read_seconds)) as answer:
                _check_status(answer.status_code, answer.headers, max_bytes, name)
                return _read_at_most(
                    _reader(answer.raw), max_bytes, name, time.monotonic() + download_seconds
                )
    except requests.exceptions.Timeout as error:
        raise ImageError(
            f"{name} cannot be fetched: the server did not answer within {connect_seconds:g} s "
            f"(connection) or {read_seconds:g} s (data)"
        ) from error
    except requests.exceptions.InvalidSchema as error:
        raise ImageError(
            f"{name} cannot be fetched: it leads to an address other than http or https"
        ) from error
    except requests.exceptions.TooManyRedirects as error:
        raise ImageError(
            f"{name} cannot be fetched: more than {MAX_REDIRECTS} redirects"
        ) from error
    except (requests.exceptions.RequestException, _transport_error()) as error:
        raise ImageError(
            f"{name} cannot be fetched: {type(error).__name__}; check the address and the "
            "network, or pass a local file"
        ) from error


def _transport_error() -> type[Exception]:
    """Return the class of errors that reading the raw body of an answer raises."""
    from urllib3.exceptions import HTTPError

    return HTTPError


def _check_status(status: int, headers: object, max_bytes: int, name: str) -> None:
    if status in _GONE:
        raise ImageNotFoundError(f"{name} does not exist: the server answers {status}")
    if status != 200:
        raise ImageError(f"{name} cannot be fetched: the server answers {status}, expected 200")
    length = str(getattr(headers, "get", lambda *_: "")("Content-Length", ""))
    if length.isdigit() and int(length) > max_bytes:
        raise _too_long(name, max_bytes)


def _reader(raw: object) -> Callable[[int], bytes]:
    """Return a function that reads what has arrived, at most so many decoded bytes."""
    # read1 returns after each packet, so the time limit also ends a trickling answer;
    # urllib3 1.x has only read, which waits for the whole chunk.
    read: Callable[..., bytes] = getattr(raw, "read1", None) or raw.read  # type: ignore[attr-defined]
    return lambda size: read(size, decode_content=True)


def _read_at_most(
    read: Callable[[int], bytes], max_bytes: int, name: str, deadline: float | None = None
) -> bytes:
    content = bytearray()
    while chunk := read(_CHUNK_BYTES):
        content += chunk
        if len(content) > max_bytes:
            raise _too_long(name, max_bytes)
        if deadline is not None and time.monotonic() >= deadline:
            raise ImageError(f"{name} cannot be fetched: the whole answer takes too long")
    return bytes(content)


def _too_long(name: str, max_bytes: int) -> ImageError:
    return ImageError(f"{name} holds more than {max_bytes} bytes, the most that is read")
