"""The HTTP endpoint for operators: metrics, liveness and readiness.

| path | answer |
|---|---|
| `/metrics` | Prometheus's text format |
| `/healthz` | 200 while the process is alive, 503 if its event loop does not react |
| `/readyz` | 200 while calls can be answered, else 503: no database, starting or draining |

Every other path is 404. The endpoint runs in threads of its own, so it answers while the event loop
is blocked.
"""

from __future__ import annotations

import asyncio
import io
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    make_wsgi_app,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_log = structlog.get_logger("attachery.metrics")

# Seconds for the event loop to react, and for a client to send its request.
_LOOP_SECONDS = 5.0
_CLIENT_SECONDS = 5.0
_POLL_SECONDS = 0.1

Probe = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Probes:
    """The checks behind `/healthz` and `/readyz`, both called in a thread of the endpoint."""

    is_alive: Probe
    is_ready: Probe


def loop_reacts(loop: asyncio.AbstractEventLoop) -> Probe:
    """Whether an event loop runs a callback within 5 seconds."""

    def reacts() -> bool:
        reaction = threading.Event()
        try:
            loop.call_soon_threadsafe(reaction.set)
        except RuntimeError:  # it is closed
            return False
        return reaction.wait(_LOOP_SECONDS)

    return reacts


@contextmanager
def serve_metrics(
    registry: CollectorRegistry, listen: str | None, is_ready: Probe
) -> Iterator[str | None]:
    """Serves the metrics, the process's own figures and the probes on HOST:PORT.

    Yields the actual address, or None without an address to listen on. Call it on the event loop
    that `/healthz` is about. Raises OSError if the address is taken.
    """
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    if listen is None:
        yield None
        return
    probes = Probes(loop_reacts(asyncio.get_running_loop()), is_ready)
    host, _, port = listen.rpartition(":")
    try:
        server = _server(host.strip("[]"), int(port), _application(registry, probes))
    except OSError as error:
        raise OSError(f"cannot serve metrics on {listen}: {error.strerror}") from error
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _application(registry: CollectorRegistry, probes: Probes) -> WSGIApplication:
    metrics = make_wsgi_app(registry)
    paths = {"/healthz": probes.is_alive, "/readyz": probes.is_ready}

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path != "/metrics" and path not in paths:
            return _plain(start_response, HTTPStatus.NOT_FOUND, method)
        if method not in ("GET", "HEAD"):
            return _plain(start_response, HTTPStatus.METHOD_NOT_ALLOWED, method)
        if path == "/metrics":
            try:
                # Prometheus's application refuses HEAD.
                body = metrics({**environ, "REQUEST_METHOD": "GET"}, start_response)
            except Exception:
                _log.exception("metrics failed")
                return _plain(start_response, HTTPStatus.INTERNAL_SERVER_ERROR, method)
            return [] if method == "HEAD" else body
        status = HTTPStatus.OK if paths[path]() else HTTPStatus.SERVICE_UNAVAILABLE
        return _plain(start_response, status, method)

    return answer


def _plain(start_response: StartResponse, status: HTTPStatus, method: str) -> Iterable[bytes]:
    body = f"{status.phrase}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    start_response(f"{status.value} {status.phrase}", headers)
    return [] if method == "HEAD" else [body]


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per connection; none of them keeps the process alive."""

    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Binds without the name look-up of `HTTPServer`, which may block on DNS."""
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()

    def handle_error(self, *_: object) -> None:
        """Logs bugs, but not clients that are silent, slow or gone."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("metrics connection failed")


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Handles a request without a log line, and waits a few seconds for it."""

    timeout = _CLIENT_SECONDS

    def log_message(self, *_: object) -> None:
        """Logs nothing: probes arrive every few seconds."""

    def get_stderr(self) -> TextIO:
        """Discards the tracebacks of connections that break during a response."""
        return io.StringIO()


def _server(host: str, port: int, application: WSGIApplication) -> _Server:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    kind = _Server6 if family == socket.AF_INET6 else _Server
    server = kind((host, port), _Handler)
    server.set_app(application)
    return server
