"""Retention: how long the bytes and the row of an attachment are kept, counted from its start."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from attachery_service.domain import inputs
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME
from attachery_service.domain.policy import Policy
from attachery_service.domain.validation import Validator

_MIN_OBJECT_RETENTION: Final = timedelta(seconds=1)


def check_retentions(
    validator: Validator,
    of_object: timedelta | None,
    of_metadata: timedelta | None,
    policy: Policy,
) -> None:
    """Checks both against the limits of the policy; None for its default."""
    inputs.duration(
        validator,
        "object_retention",
        "INVALID_OBJECT_RETENTION",
        of_object,
        (_MIN_OBJECT_RETENTION, policy.max_object_retention),
    )
    inputs.duration(
        validator,
        "metadata_retention",
        "INVALID_METADATA_RETENTION",
        of_metadata,
        (REQUEST_ID_LIFETIME, policy.max_metadata_retention),
    )
