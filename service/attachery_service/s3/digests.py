"""Digests: conversion between Attachery's hexadecimal and S3's base64, and their computation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as crc

from attachery_service.domain.checksums import DIGITS, Algorithm


def to_base64(digest: str) -> str:
    """Converts a hexadecimal digest to S3's form."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def to_hex(algorithm: Algorithm, value: str) -> str | None:
    """Converts S3's form to hexadecimal; None if it is no digest of this algorithm.

    The composite checksum of a multipart upload (`…-N`) is none: it is a digest of digests.
    """
    try:
        digest = base64.b64decode(value, validate=True).hex()
    except ValueError:
        return None
    return digest if len(digest) == DIGITS[algorithm] else None


class Hash(Protocol):
    """A digest in progress."""

    def update(self, data: bytes, /) -> None:
        """Adds bytes."""

    def hexdigest(self) -> str:
        """Returns the digest of all bytes so far, in lower case."""


def new_hash(algorithm: Algorithm) -> Hash:
    """Creates a digest without bytes."""
    match algorithm:
        case Algorithm.MD5:
            # MD5 is compared with a declared digest and protects nothing, so FIPS mode permits it.
            return hashlib.md5(usedforsecurity=False)
        case Algorithm.SHA256:
            return hashlib.sha256()
        case Algorithm.CRC32C:
            return _Crc(crc.crc32c, DIGITS[algorithm])
        case Algorithm.CRC64NVME:
            return _Crc(crc.crc64nvme, DIGITS[algorithm])


@dataclass(slots=True)
class _Crc:
    step: Callable[[bytes, int], int]
    digits: int
    value: int = 0

    def update(self, data: bytes, /) -> None:
        self.value = self.step(data, self.value)

    def hexdigest(self) -> str:
        return f"{self.value:0{self.digits}x}"
