"""Logs and counts contradictory responses of object storage."""

from __future__ import annotations

from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

from attachery_service.domain.checks import Check, CheckKind

_log = structlog.get_logger("attachery.storage")


class Disagreements:
    """Logs each disagreement and counts it by the kind of check, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter(
            "attachery_storage_disagreements",
            "Failed checks that a second read of the object did not confirm.",
            ["check"],
            registry=registry,
        )
        for kind in CheckKind:
            self._count.labels(kind)

    def __call__(self, attachment_id: UUID, first: Check, second: Check | None) -> None:
        """Log and count a failed check that a second look did not confirm."""
        self._count.labels(first.kind).inc()
        _log.warning(
            "storage disagrees with itself",
            attachment_id=str(attachment_id),
            check=first.kind.value,
            expected=first.expected,
            first=first.actual,
            second_check=second.kind.value if second else "",
            second=second.actual if second else "",
        )
