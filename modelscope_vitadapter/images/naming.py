"""Short names of inputs for error messages."""

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from modelscope_vitadapter.validation import shorten


def is_url(text: str) -> bool:
    """Whether a string names a web resource that is fetched (http or https)."""
    return text[:8].lower().startswith(("http://", "https://"))


def describe(source: object) -> str:
    """Names anything that may be handed over as an image: its path or address, size, or type."""
    if isinstance(source, os.PathLike):
        return f"image file {shorten(str(source))!r}"
    if isinstance(source, str):
        if "://" in source:
            return f"{'URL' if is_url(source) else 'address'} {_without_secrets(source)!r}"
        return f"image file {shorten(source)!r}" if source else "an empty string"
    if isinstance(source, bytes | bytearray | memoryview):
        return f"{memoryview(source).nbytes} bytes"
    if isinstance(source, Image.Image):
        width, height = source.size
        return f"PIL image (mode {source.mode}, height {height}, width {width})"
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}, {source.dtype}"
    if isinstance(source, Mapping):
        return f"dict with keys {shorten(str([str(key) for key in source]))}"
    return f"object of type {type(source).__module__}.{type(source).__qualname__}"


def _without_secrets(url: str) -> str:
    """A URL without user name, password, query and fragment, for messages and logs.

    Signed addresses of object stores carry their secret in the query.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # a password with a slash in it is taken for a bad port
    except ValueError:
        if "@" in url:
            return f"{url.partition('://')[0]}://..."
        return shorten(re.split("[?#]", url)[0])
    host = parts.netloc.rpartition("@")[2]
    query = "?..." if parts.query else ""
    return shorten(f"{parts.scheme}://{host}{parts.path}{query}")
