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
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import uvicorn
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachery_client import AttacheryClient, CallInfo
from attachery_client.errors import AttacheryError, Violation

T = TypeVar("T")


class Call(NamedTuple):
    """A request, and a client that makes calls with its caller's credential."""

    request: Request
    client: AttacheryClient
    request_id: str

    async def json(self, limit: int = 1 << 20) -> dict[str, Any]:
        """The JSON object of the body; no body is an empty object. Raises AttacheryError."""
        body = b""
        async for chunk in self.request.stream():
            if len(body := body + chunk) > limit:
                raise refused(413, "BODY_TOO_LARGE", f"The body is larger than {limit} bytes.")
        if body and "application/json" not in self.request.headers.get("content-type", "").lower():
            raise refused(415, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json.")
        return object_of(body or "{}")


def object_of(text: bytes | str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise refused(400, "INVALID_BODY", "The body must be a JSON object.")
    return value


def value_of(body: Mapping[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    """A value of the type, or the default if it is null or absent. Raises AttacheryError."""
    value = default if body.get(name) is None else body[name]
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        reason = "PARAMETER_MISSING" if value is None else "INVALID_TYPE"
        raise refused(400, reason, f"{name} must be a {kind.__name__}.", name)
    return value


def refused(status: int, reason: str, message: str, field: str = "") -> AttacheryError:
    """A refusal by the gateway itself, in the form of the service's errors."""
    violations = [Violation(field, reason, message)] if field else []
    return AttacheryError(message, reason=reason, violations=violations, http_status=status)


def status_of(error: AttacheryError) -> int:
    """The HTTP status of an error. A malformed id is refused like an unknown one."""
    unanswered = {"UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}.get(error.code.name, 500)
    return 404 if error.reason == "INVALID_ATTACHMENT_ID" else error.http_status or unanswered


def iso(time: Timestamp) -> str:
    """As `2026-04-10T12:00:00.000Z`."""
    return f"{time.ToDatetime().isoformat(timespec='milliseconds')}Z"


def bearer(request: Request) -> str | None:
    """The key of `Authorization: Bearer KEY`; "?" for another form, None without the header."""
    header = request.headers.get("authorization", "")
    found = re.fullmatch(r"(?i:bearer) +([\x21-\x7e]+)", header)
    return found[1] if found else "?" if header else None


class Gateway(NamedTuple):
    """An API: its routes (method, path, handler), the form of its errors, and its credential."""

    routes: Sequence[tuple[str, str, Callable[[Call], Awaitable[Response]]]]
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
        routes = [
            Route(p, partial(self._serve, options, h), methods=[m]) for m, p, h in self.routes
        ]
        forms = {404: lambda *_: self.refusal(refused(404, "NO_SUCH_ROUTE", "No such route."), "")}
        app = Starlette(routes=routes, exception_handlers=forms, lifespan=partial(_ready, options))
        address = re.fullmatch(r"(.+):(\d{1,5})", options.listen) or parser.error("no HOST:PORT")
        config = uvicorn.Config(app, address[1].strip("[]"), int(address[2]), log_level="warning")
        listener = config.bind_socket()
        listener.listen()
        options.url = f"http://{address[1]}:{listener.getsockname()[1]}"
        uvicorn.Server(config).run(sockets=[listener])

    async def _serve(self, options: Any, handler: Any, request: Request) -> Response:
        calls, request_id = list[CallInfo](), str(uuid.uuid4())
        try:
            key = self.credential(request) or options.api_key
            if key is None:
                raise refused(401, "CREDENTIALS_MISSING", "The call has no credential.")
            metadata = {"x-request-id": request_id}
            client = options.client.bound(api_key=key, metadata=metadata, on_call=calls.append)
            response: Response = await handler(Call(request, client, request_id))
        except AttacheryError as error:
            response = self.refusal(error, request_id)
        except (ValueError, RecursionError) as error:  # no JSON, or a value that no message holds
            response = self.refusal(refused(400, "INVALID_VALUE", str(error)), request_id)
        response.headers.update(_headers(request_id, calls[-1] if calls else None))
        return response


def _headers(request_id: str, call: CallInfo | None) -> dict[str, str]:
    headers = {"x-request-id": request_id}
    if call and call.rate_limit:
        figures = asdict(call.rate_limit) | {"reset": int(call.rate_limit.reset.timestamp())}
        headers |= {f"x-ratelimit-{name}": str(figure) for name, figure in figures.items()}
    if call and call.retry_after:
        headers["retry-after"] = str(int(call.retry_after.total_seconds()) + 1)
    return headers


@asynccontextmanager
async def _ready(options: Any, _: Starlette) -> AsyncIterator[None]:
    async with AttacheryClient(options.target, api_key=None) as options.client:
        if options.ready_file is not None:
            draft = options.ready_file.with_suffix(".new")
            draft.write_text(json.dumps({"url": options.url}), encoding="utf-8")
            draft.replace(options.ready_file)
        yield
