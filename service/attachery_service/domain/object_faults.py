"""Faults of one object in storage."""

from __future__ import annotations


class PreconditionChanged(Exception):
    """The object under this key is missing, or has another ETag than expected."""


class UnreadableObject(Exception):
    """A header of the upload prevents the service from reading the bytes."""

    def __init__(self, upload_header: str) -> None:
        super().__init__(upload_header)
        self.upload_header = upload_header
