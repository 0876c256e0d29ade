"""Digests as hexadecimal text."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Algorithm(StrEnum):
    """A supported digest, named as in the messages."""

    MD5 = "md5"
    SHA256 = "sha256"
    CRC32C = "crc32c"
    CRC64NVME = "crc64nvme"


# Iterating over the enumeration takes ten times as long.
ALGORITHMS = tuple(Algorithm)

DIGITS = {Algorithm.MD5: 32, Algorithm.SHA256: 64, Algorithm.CRC32C: 8, Algorithm.CRC64NVME: 16}


class Checksums(Struct, frozen=True, kw_only=True):
    """Digests of one object, lower-case hexadecimal; None if unknown."""

    md5: str | None = None
    sha256: str | None = None
    crc32c: str | None = None
    crc64nvme: str | None = None

    def get(self, algorithm: Algorithm) -> str | None:
        digest: str | None = getattr(self, algorithm.value)
        return digest

    def known(self) -> dict[Algorithm, str]:
        """Returns the given digests, in the order of `Algorithm`."""
        return {a: digest for a in ALGORITHMS if (digest := self.get(a)) is not None}

    def with_defaults(self, other: Checksums) -> Checksums:
        """Returns these digests, completed from `other`."""
        return Checksums(
            md5=self.md5 or other.md5,
            sha256=self.sha256 or other.sha256,
            crc32c=self.crc32c or other.crc32c,
            crc64nvme=self.crc64nvme or other.crc64nvme,
        )

    @classmethod
    def of(cls, digests: dict[Algorithm, str]) -> Checksums:
        return cls(**{algorithm.value: digest for algorithm, digest in digests.items()})


NO_CHECKSUMS = Checksums()
