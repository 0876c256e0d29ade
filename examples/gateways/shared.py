"""The frame of the gateways: command line, credentials, request bodies, errors and times."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachery_client import AttacheryClient
from attachery_client.errors import AttacheryError, Violation

T = TypeVar("T")
Handler = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True)
class Call:
    """A request, and a client that makes calls with its caller's credential."""

    request: Request
    client: AttacheryClient
    request_id: str

    async def json(self, *, limit: int = 1 << 20, optional: bool = False) -> dict[str, Any]:
        """The JSON object of the body; `optional`: {} without a body. Raises AttacheryError."""
        body = await self.request.body()
        if optional and not body:
            return {}
        if len(body) > limit:
            raise refused(413, "BODY_TOO_LARGE", f"The body is larger than {limit} bytes.")
        if self.request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise refused(415, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json.")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise refused(400, "INVALID_BODY", "The body must be a JSON object.")
        return value


def value_of(body: Mapping[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    """A value of the type, or the default if it is null or absent. Raises AttacheryError."""
    value = default if body.get(name) is None else body[name]
    if value is None:
        raise refused(400, "PARAMETER_MISSING", f"{name} is required.", name)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise refused(400, "INVALID_TYPE", f"{name} must be a {kind.__name__}.", name)
    return value


def refused(status: int, reason: str, message: str, field: str = "") -> AttacheryError:
    """A refusal by the gateway itself, in the form of the service's errors."""
    violations = [Violation(field, reason, message)] if field else []
    return AttacheryError(message, reason=reason, violations=violations, http_status=status)


def status_of(error: AttacheryError) -> int:
    """The HTTP status of an error. A malformed id is refused like an unknown one."""
    if error.reason == "INVALID_ATTACHMENT_ID":
        return 404
    unanswered = {"UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}
    return error.http_status or unanswered.get(error.code.name, 500)


def iso(time: Timestamp) -> str:
    """As `2026-04-10T12:00:00.000Z`."""
    return f"{time.ToDatetime().isoformat(timespec='milliseconds')}Z"


def bearer(request: Request) -> str | None:
    """The key of `Authorization: Bearer KEY`; "?" for another form, None without the header."""
    header = request.headers.get("authorization")
    found = re.fullmatch(r"(?i:bearer) +([\x21-\x7e]+)", header or "")
    return None if header is None else found[1] if found else "?"


@dataclass(frozen=True)
class Gateway:
    """An API: its routes (method, path, handler), the form of its errors, and its credential."""

    routes: Sequence[tuple[str, str, Handler]]
    refusal: Callable[[AttacheryError, str], Response]
    credential: Callable[[Request], str | None] = bearer

    def run(self) -> None:
        """Serves until SIGINT or SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(0))
        parser = argparse.ArgumentParser()
        parser.add_argument("--listen", required=True, metavar="HOST:PORT")
        parser.add_argument("--target", required=True, metavar="HOST:PORT")
        parser.add_argument("--api-key", metavar="KEY", help="for calls without a credential")
        parser.add_argument("--ready-file", type=Path, metavar="FILE", help="written when ready")
        options = parser.parse_args()
        serve = partial(self._serve, options)
        routes = [Route(p, partial(serve, h), methods=[m]) for m, p, h in self.routes]
        app = Starlette(routes=routes, exception_handlers={404: self._no_route}, lifespan=_ready)
        host, _, port = options.listen.rpartition(":")
        try:
            config = uvicorn.Config(app, host.strip("[]"), int(port), log_level="warning")
            listener = config.bind_socket()
        except (ValueError, OverflowError):
            parser.error(f"{options.listen} is not HOST:PORT")
        listener.listen()
        app.state.ready = (options.ready_file, f"http://{host}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listener])

    async def _serve(self, options: Any, handler: Handler, request: Request) -> Response:
        request_id, key = str(uuid.uuid4()), self.credential(request) or options.api_key
        try:
            if key is None:
                raise refused(401, "CREDENTIALS_MISSING", "The call has no credential.")
            async with AttacheryClient(options.target, api_key=key) as client:
                response = await handler(Call(request, client, request_id))
        except ValueError as error:  # a value that no message can hold
            response = self.refusal(refused(400, "INVALID_VALUE", str(error)), request_id)
        except AttacheryError as error:
            response = self.refusal(error, error.request_id or request_id)
        response.headers["x-request-id"] = request_id
        return response

    async def _no_route(self, *_: Any) -> Response:
        return self.refusal(refused(404, "NO_SUCH_ROUTE", "There is no such route."), "")


@asynccontextmanager
async def _ready(app: Starlette) -> AsyncIterator[None]:
    ready_file, url = app.state.ready
    if ready_file is not None:
        draft = ready_file.with_suffix(".new")
        draft.write_text(json.dumps({"url": url}), encoding="utf-8")
        draft.replace(ready_file)
    yield
