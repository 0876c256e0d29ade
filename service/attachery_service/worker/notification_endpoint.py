"""The HTTP door at which the store tells of arrivals."""

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
from attachery_service.worker.object_created_queue import Arrivals
from attachery_service.worker.subscription_log import SubscriptionLog

_log = structlog.get_logger("attachery.notifications")

PATH = "/notifications"

_MAX_BYTES = 256 * 1024
_READ_SECONDS = 10.0
# For answers under way when the process ends.
_CLOSE_SECONDS = 2.0
_RETRY_AFTER = {"Retry-After": "1"}
# In everything that SNS sends.
_SNS_HEADER = "x-amz-sns-message-type"

ReadEvents = Callable[[bytes], Events]


@dataclass(frozen=True, slots=True)
class Door:
    """Answers 200 once all arrivals are queued; any other status asks the sender to send it again.

    `token`: the credential of the sender, as `Authorization: Bearer TOKEN`, or as the password of
    `Basic`, which stores and SNS make of https://USER:TOKEN@HOST; None admits every sender. There
    is no token in the query: proxies log queries.
    """

    arrivals: Arrivals
    read_events: ReadEvents
    token: str | None
    subscription_log: SubscriptionLog = field(default_factory=SubscriptionLog)

    async def answer(self, request: web.Request) -> web.Response:
        if not self._knows(request.headers.get(hdrs.AUTHORIZATION, "")):
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
        if not self.arrivals.take(events.arrivals):
            return self._refuse(NotificationOutcome.TOO_MANY, HTTPStatus.SERVICE_UNAVAILABLE)
        self.arrivals.metrics.count_kinds(events.kinds)
        self._note_ignored(events.ignored)
        for subscription in events.subscriptions:
            self.subscription_log.report(subscription)
        return web.Response()

    def _knows(self, credential: str) -> bool:
        if self.token is None:
            return True
        shown = _secret(credential).encode(errors="replace")
        return hmac.compare_digest(shown, self.token.encode())

    def _forbid(self, headers: Mapping[str, str]) -> web.Response:
        response = self._refuse(NotificationOutcome.FORBIDDEN, HTTPStatus.FORBIDDEN)
        if _SNS_HEADER in headers and hdrs.AUTHORIZATION not in headers:
            # SNS sends the credentials of its endpoint's URL only when it is asked for them.
            response.set_status(HTTPStatus.UNAUTHORIZED)
            response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="attachery"'
        return response

    def _refuse(self, outcome: NotificationOutcome, status: HTTPStatus) -> web.Response:
        self.arrivals.metrics.count(outcome)
        _log.debug("notification refused", outcome=outcome.value)
        headers = _RETRY_AFTER if status is HTTPStatus.SERVICE_UNAVAILABLE else None
        return web.Response(status=status, headers=headers)

    def _note_ignored(self, events: int) -> None:
        if events:
            self.arrivals.metrics.count(NotificationOutcome.IGNORED, events)
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
async def open_door(door: Door, listen: str) -> AsyncIterator[str]:
    """Listens on HOST:PORT while the block runs; yields the real address.

    Raises OSError if the address is taken.
    """
    app = web.Application(client_max_size=_MAX_BYTES)
    app.router.add_post(PATH, door.answer)
    app.on_response_prepare.append(_say_less)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            raise OSError(f"cannot take notifications on {listen}: {error.strerror}") from error
        yield f"{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _say_less(_: web.Request, response: web.StreamResponse) -> None:
    """Nothing of what this runs on."""
    response.headers.pop(hdrs.SERVER, None)
