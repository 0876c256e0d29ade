"""Checks a batch as a whole, before its items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attachery_client import errors

MAX_ITEMS = 100


def check_items(items: Sequence[Any]) -> None:
    if not items:
        raise _invalid("items", "INVALID_ITEMS", "must hold at least one item")
    if len(items) > MAX_ITEMS:
        raise _invalid("items", "BATCH_TOO_LARGE", f"must hold at most {MAX_ITEMS} items")
    ids = [item.attachment_id for item in items]
    for number, attachment_id in enumerate(ids):
        if attachment_id in ids[:number]:
            field = f"items[{number}].attachment_id"
            raise _invalid(field, "DUPLICATE_ATTACHMENT_ID", "must not stand twice in one batch")


def _invalid(field: str, reason: str, description: str) -> errors.InvalidRequest:
    violation = errors.Violation(field, reason, description)
    return errors.InvalidRequest(reason=reason, violations=[violation])
