"""Log lines for an operator about SNS subscriptions to the notification endpoint.

The service never opens the URL of a confirmation: it came from outside, and the request would be
made with the service's network access (server-side request forgery).
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import structlog

from attachery_service.domain.object_created import Subscription

_log = structlog.get_logger("attachery.notifications")

_CONFIRM = (
    "SNS delivers nothing from this topic until the subscription is confirmed: check that the "
    "topic is yours, then open confirm_url within three days, or pass its Token to "
    "`aws sns confirm-subscription`. The service does not open it."
)
_ENDED = (
    "SNS has ended the subscription of this topic: uploads are completed by the sweep only. If "
    "that was not intended, open confirm_url to subscribe again. The service does not open it."
)
_MAX_LINES = 10
_PERIOD_SECONDS = 60.0


@dataclass(slots=True)
class SubscriptionLog:
    """Writes at most 10 lines a minute: without a token, everybody can send confirmations."""

    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_LINES))

    def report(self, subscription: Subscription) -> None:
        now = time.monotonic()
        if len(self._times) == _MAX_LINES and now - self._times[0] < _PERIOD_SECONDS:
            return
        self._times.append(now)
        _log.warning(
            "subscription ended" if subscription.has_ended else "subscription to confirm",
            topic=subscription.topic or "not an SNS topic",
            confirm_url=subscription.confirm_url or "not a URL of SNS: do not confirm it",
            instructions=_ENDED if subscription.has_ended else _CONFIRM,
        )
