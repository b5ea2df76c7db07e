"""A web server on the loopback interface that does what its routes say, down to the bytes."""

import contextlib
import gzip
import socket
import socketserver
import threading
import time
import zlib
from functools import cache

from tests.images.makers import PICTURE, encode

PICTURE_FILE = encode(PICTURE, "PNG")
USER, PASSWORD = "me", "hunter2"
AUTHORISED = b"Authorization: Basic bWU6aHVudGVyMg=="


def answer(body=b"", *headers, status="200 OK"):
    """The bytes of an answer; a `Content-Length` only where it is among the headers."""
    lines = [f"HTTP/1.1 {status}".encode(), b"Connection: close", *headers, b"", body]
    return b"\r\n".join(lines)


def length(number):
    return f"Content-Length: {number}".encode()


def redirect(location):
    return answer(b"", b"Location: " + location, length(0), status="302 Found")


PICTURE_ANSWER = answer(PICTURE_FILE, length(len(PICTURE_FILE)))


@cache
def gzip_of_zeros(size):
    """`size` MiB of zeros in gzip, a thousandth as long."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(size)) + packer.flush()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        head = []
        while (line := self.rfile.readline(2**16).strip()) and len(head) < 99:
            head.append(line)
        words = head[0].split() if head else []
        self.server.heads.append(head)
        with contextlib.suppress(OSError):  # the client has had enough
            if len(words) == 3:
                ROUTES[words[1].partition(b"?")[0].decode()](self)

    def pour(self, beginning, part, pause=0.0):
        """Writes a part again and again, for as long as no client of a test should wait."""
        self.wfile.write(beginning)
        end = time.monotonic() + 60
        while not self.server.closing.wait(pause) and time.monotonic() < end:
            self.wfile.write(part)

    def with_password(self):
        known = AUTHORISED in self.server.heads[-1]
        self.wfile.write(PICTURE_ANSWER if known else answer(status="401 Unauthorized"))

    def elsewhere(self):
        self.wfile.write(redirect(f"http://localhost:{self.server.port}/picture".encode()))

    def slow_circle(self):
        self.server.closing.wait(0.3)
        self.wfile.write(redirect(b"/slow-circle"))


def sends(content):
    return lambda handler: handler.wfile.write(content)


ROUTES = {
    "/picture": sends(PICTURE_ANSWER),
    "/%E7%85%A7%E7%89%87%201.png": sends(PICTURE_ANSWER),
    "/no-length": sends(answer(PICTURE_FILE)),
    "/length-in-words": sends(answer(PICTURE_FILE, b"Content-Length: many")),
    "/gzip": sends(answer(gzip.compress(PICTURE_FILE), b"Content-Encoding: gzip")),
    "/password": Handler.with_password,
    "/redirect": sends(redirect(b"/picture")),
    "/redirect-password": sends(redirect(b"/password")),
    "/elsewhere": Handler.elsewhere,
    "/redirect-endless": lambda handler: handler.pour(
        answer(b"", b"Location: /picture", status="302 Found"), bytes(2**16)
    ),
    "/404": sends(answer(status="404 Not Found")),
    "/410": sends(answer(status="410 Gone")),
    "/500": sends(answer(status="500 Internal Server Error")),
    "/401": sends(answer(status="401 Unauthorized")),
    "/to-file": sends(redirect(b"file:///etc/hostname")),
    "/to-data": sends(redirect(b"data:image/png;base64,iVBORw0KGgo=")),
    "/circle": sends(redirect(b"/circle")),
    "/to-garbage": sends(redirect(b"/\xff\xfe")),
    "/to-nowhere": sends(redirect(b"http://[::1/a")),
    "/endless": lambda handler: handler.pour(answer(), bytes(2**16)),
    "/announced": sends(answer(b"", length(10**12))),
    "/announced-at-length": sends(answer(b"", length("9" * 5000))),
    "/gzip-bomb": lambda handler: handler.wfile.write(
        answer(gzip_of_zeros(300), b"Content-Encoding: gzip")
    ),
    "/gzip-twice": sends(
        answer(gzip.compress(gzip.compress(PICTURE_FILE)), b"Content-Encoding: gzip, gzip")
    ),
    "/zstd": sends(answer(PICTURE_FILE, b"Content-Encoding: zstd")),
    "/garbled": sends(answer(b"no gzip at all", b"Content-Encoding: gzip")),
    "/text": sends(answer(b"<html>", b"Content-Type: image/png")),
    "/cut": sends(answer(PICTURE_FILE[:50], length(len(PICTURE_FILE)))),
    "/length-too-small": sends(answer(PICTURE_FILE, length(60))),
    "/silent": lambda handler: handler.server.closing.wait(),
    "/drip": lambda handler: handler.pour(answer(b"", length(10**6)), b"x", 0.02),
    "/slow-circle": Handler.slow_circle,
    "/no-http": sends(b"220 mail.example.org ESMTP\r\n"),
    "/nothing": sends(b""),
    "/header-garbage": sends(answer(PICTURE_FILE, b"X-\xff\xfe: \xff\xfe", b"no colon here")),
}


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, host="127.0.0.1"):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.closing = threading.Event()
        self.heads = []
        super().__init__((host, 0), Handler)

    @property
    def port(self):
        return self.server_address[1]

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
