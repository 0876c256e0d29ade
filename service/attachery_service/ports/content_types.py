"""Detection of content types."""

from __future__ import annotations

from typing import Protocol

from attachery_service.domain.checks import TypeEvidence


class TypeComparison(Protocol):
    """Compares a declared type with the first bytes of a file."""

    def __call__(self, declared: str, first_bytes: bytes) -> TypeEvidence:
        """Compares the declared type with the detected one. Never raises."""
