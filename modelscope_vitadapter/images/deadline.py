"""Web requests that end at a given time, whatever the server does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests


class Deadline:
    """Ends the connections that it watches once the time is up; used as a `with` block.

    A client's own time limits count the silence between two packets, so that a server that sends
    a byte now and then, of an answer or of its headers, holds its caller as long as it likes.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._watched: list[socket.socket] = []
        self._closed = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            for connection in self._watched:
                connection.close()

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end

    def watch(self, connection: socket.socket) -> None:
        """Add a connection that is shut down when the time is up."""
        # The client may wrap the socket (TLS) and close it; a twin still reaches the connection.
        with self._lock:
            if not self._closed:
                self._watched.append(connection.dup())
        if self.passed:
            self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            for connection in self._watched:
                with contextlib.suppress(OSError):  # it has ended already
                    connection.shutdown(socket.SHUT_RDWR)


def watched_session(deadline: Deadline) -> requests.Session:
    """Return a session whose connections, through proxies too, end with the deadline.

    It follows no redirects and does not read their bodies, which requests does without a limit.

    Args:
        deadline: Entered by the caller.
    """
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            _watch_pools(self.poolmanager, deadline)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            new = proxy not in self.proxy_manager
            manager = super().proxy_manager_for(proxy, **options)
            if new:
                _watch_pools(manager, deadline)
            return manager

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            return None

    session = Session()
    session.mount("http://", Adapter())
    session.mount("https://", Adapter())
    return session


def _watch_pools(manager: Any, deadline: Deadline) -> None:
    """Let a pool manager of urllib3 open connections that report their sockets."""
    manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": _watched(pool, deadline)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }


def _watched(pool: Any, deadline: Deadline) -> type:
    base: Any = pool.ConnectionCls

    class Connection(base):  # type: ignore[misc]  # of http, https or a proxy
        def _new_conn(self) -> socket.socket:
            connection: socket.socket = super()._new_conn()
            deadline.watch(connection)
            return connection

    return Connection
