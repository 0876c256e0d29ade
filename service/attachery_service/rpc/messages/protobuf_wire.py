"""The part of protobuf's wire format that joins encoded messages into an outer message.

Gain, versions and switch are those of its users, `JoinedEncoding` and `rpc/accept/refusals.py`.
Tests compare each field with the library's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

# The wire type of a field whose value follows its length.
_LENGTH_DELIMITED: Final = 2
_SEVEN_BITS: Final = 7


def length_delimited(number: int, value: bytes) -> bytes:
    """Encode a message or a string as the field `number` of another message."""
    return _field_header(number, len(value)) + value


@lru_cache(4096)
def _field_header(number: int, length: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >> _SEVEN_BITS:
        encoded.append(value & 0x7F | 0x80)
        value >>= _SEVEN_BITS
    encoded.append(value)
    return bytes(encoded)
