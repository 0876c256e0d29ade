"""The HTTP endpoint for notifications of object storage (a webhook)."""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web

from attachery_service.domain.object_created import (
    Events,
    MalformedEventsError,
    NotificationOutcome,
)
from attachery_service.worker.object_created_queue import ObjectCreatedQueue
from attachery_service.worker.subscription_log import SubscriptionLog

_log = structlog.get_logger("attachery.notifications")

PATH = "/notifications"

_MAX_BYTES = 256 * 1024
_READ_SECONDS = 10.0
# In seconds, for responses in progress when the process stops.
_CLOSE_SECONDS = 2.0
_RETRY_AFTER = {"Retry-After": "1"}
# SNS sends this header with every message.
_SNS_HEADER = "x-amz-sns-message-type"

ReadEvents = Callable[[bytes], Events]


@dataclass(frozen=True, slots=True)
class NotificationEndpoint:
    """Answers 200 once all notifications are queued; after any other status, the sender retries.

    `token`: the credential of the sender, as `Authorization: Bearer TOKEN`, or as the password of
    `Basic`, which object storage and SNS send for https://USER:TOKEN@HOST; None admits every
    sender. A token in the query is not supported, because proxies log queries.
    """

    queue: ObjectCreatedQueue
    read_events: ReadEvents
    token: str | None
    subscription_log: SubscriptionLog = field(default_factory=SubscriptionLog)

    async def answer(self, request: web.Request) -> web.Response:
        if not self._is_authorized(request.headers.get(hdrs.AUTHORIZATION, "")):
            return self._forbid(request.headers)
        try:
            async with asyncio.timeout(_READ_SECONDS):
                events = self.read_events(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(NotificationOutcome.TOO_LARGE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except MalformedEventsError:
            return self._refuse(NotificationOutcome.MALFORMED, HTTPStatus.BAD_REQUEST)
        except TimeoutError:
            return self._refuse(NotificationOutcome.MALFORMED, HTTPStatus.REQUEST_TIMEOUT)
        if not self.queue.put(events.created):
            return self._refuse(NotificationOutcome.TOO_MANY, HTTPStatus.SERVICE_UNAVAILABLE)
        self.queue.metrics.count_kinds(events.kinds)
        self._count_ignored(events.ignored)
        for subscription in events.subscriptions:
            self.subscription_log.report(subscription)
        return web.Response()

    def _is_authorized(self, credential: str) -> bool:
        if self.token is None:
            return True
        shown = _secret(credential).encode(errors="replace")
        return hmac.compare_digest(shown, self.token.encode())

    def _forbid(self, headers: Mapping[str, str]) -> web.Response:
        response = self._refuse(NotificationOutcome.FORBIDDEN, HTTPStatus.FORBIDDEN)
        if _SNS_HEADER in headers and hdrs.AUTHORIZATION not in headers:
            # SNS sends the credentials of its endpoint's URL only after a 401 with this header.
            response.set_status(HTTPStatus.UNAUTHORIZED)
            response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="attachery"'
        return response

    def _refuse(self, outcome: NotificationOutcome, status: HTTPStatus) -> web.Response:
        self.queue.metrics.count(outcome)
        _log.debug("notification refused", outcome=outcome.value)
        headers = _RETRY_AFTER if status is HTTPStatus.SERVICE_UNAVAILABLE else None
        return web.Response(status=status, headers=headers)

    def _count_ignored(self, events: int) -> None:
        if events:
            self.queue.metrics.count(NotificationOutcome.IGNORED, events)
            _log.debug("notification ignored", events=events)


def _secret(credential: str) -> str:
    scheme, _, rest = credential.partition(" ")
    if scheme.lower() == "bearer":
        return rest
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


@asynccontextmanager
async def open_notification_endpoint(
    endpoint: NotificationEndpoint, listen: str
) -> AsyncIterator[str]:
    """Listens on HOST:PORT during the block; yields the address with the actual port.

    Raises OSError if the address is taken.
    """
    app = web.Application(client_max_size=_MAX_BYTES)
    app.router.add_post(PATH, endpoint.answer)
    app.on_response_prepare.append(_hide_library)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            raise OSError(f"cannot accept notifications on {listen}: {error.strerror}") from error
        yield f"{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _hide_library(_: web.Request, response: web.StreamResponse) -> None:
    """Removes the header that names the HTTP library."""
    response.headers.pop(hdrs.SERVER, None)
