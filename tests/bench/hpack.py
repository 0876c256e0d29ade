"""Header blocks of HTTP/2 (HPACK), as far as a client must write them."""

from __future__ import annotations

from typing import Final, TypeAlias

Headers: TypeAlias = tuple[tuple[str, str], ...]

_STATIC_ENTRIES: Final = 61
_GREATEST_INDEXED: Final = 3_500  # the server's table holds 4,096 bytes
_ENTRY_OVERHEAD: Final = 32
_GREATEST_KEPT: Final = 1_000


class HeaderWriter:
    """Writes header blocks; fields sent before are referenced by their index."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self._held = 0
        self._blocks: dict[Headers, tuple[int, bytes]] = {}

    def block(self, headers: Headers) -> bytes:
        known = self._blocks.get(headers)
        if known is not None and known[0] == len(self._places):
            return known[1]
        grown = len(self._places)
        block = b"".join(self._field(header) for header in headers)
        if grown == len(self._places) and len(self._blocks) < _GREATEST_KEPT:
            self._blocks[headers] = (grown, block)
        return block

    def _field(self, header: tuple[str, str]) -> bytes:
        place = self._places.get(header)
        if place is not None:
            return _integer(_STATIC_ENTRIES + len(self._places) - place, 7, 0x80)
        name, value = (text.encode() for text in header)
        literal = _integer(len(name), 7, 0) + name + _integer(len(value), 7, 0) + value
        size = len(name) + len(value) + _ENTRY_OVERHEAD
        if self._held + size > _GREATEST_INDEXED:
            return b"\x00" + literal
        self._held += size
        self._places[header] = len(self._places)
        return b"\x40" + literal


def _integer(value: int, bits: int, pattern: int) -> bytes:
    """HPACK's integer: in the low bits of the first byte, or continued by seven at a time."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([pattern | value])
    encoded, value = [pattern | most], value - most
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
