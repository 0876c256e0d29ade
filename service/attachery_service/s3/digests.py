"""Digests: Attachery's hexadecimal against S3's base64, and how they are computed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as crc

from attachery_service.domain.checksums import DIGITS, Algorithm


def to_base64(digest: str) -> str:
    """S3's spelling of a hexadecimal digest."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def to_hex(algorithm: Algorithm, value: str) -> str | None:
    """Attachery's spelling of S3's; None if it is no digest of this algorithm.

    A composite checksum of a multipart upload (`…-N`) is none: it is a digest of digests.
    """
    try:
        digest = base64.b64decode(value, validate=True).hex()
    except ValueError:
        return None
    return digest if len(digest) == DIGITS[algorithm] else None


class Hash(Protocol):
    """A digest in the making."""

    def update(self, data: bytes, /) -> None:
        """Takes in the next bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in lower case."""


def new_hash(algorithm: Algorithm) -> Hash:
    """A digest of no bytes yet."""
    match algorithm:
        case Algorithm.MD5:
            # Compared with what was declared, no protection: also where FIPS forbids MD5 for that.
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
