"""Converts declarations to JSON rows, and columns of a session to declarations."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from attachery_service.domain.checksums import NO_CHECKSUMS, Checksums
from attachery_service.domain.declarations import Declaration, Disposition

JsonRow = dict[str, Any]

# Equals `json.loads` for PostgreSQL's output, which has no surrounding white space, in a third of
# the time.
decode = json.JSONDecoder().raw_decode

# Most sessions have no metadata, and no digests until they are verified.
_EMPTY = "{}"

# A lookup takes a tenth of the time of Disposition(…).
_DISPOSITIONS = {disposition.value: disposition for disposition in Disposition}


def declaration_row(declaration: Declaration) -> JsonRow:
    return {
        "filename": declaration.filename,
        "content_type": declaration.content_type,
        "declared_size": declaration.size,
        "declared_checksums": declaration.checksums.known(),
        "content_id": declaration.content_id,
        "disposition": declaration.disposition,
        "is_inline": declaration.is_inline,
        "metadata": dict(declaration.metadata),
    }


def to_declaration(row: asyncpg.Record) -> Declaration:
    disposition, is_inline = _DISPOSITIONS[row["disposition"]], row["is_inline"]
    return Declaration(
        filename=row["filename"],
        content_type=row["content_type"],
        size=row["declared_size"],
        checksums=to_checksums(row["declared_checksums"]),
        content_id=row["content_id"],
        disposition=disposition,
        is_inline=disposition is Disposition.INLINE if is_inline is None else is_inline,
        metadata={} if row["metadata"] == _EMPTY else decode(row["metadata"])[0],
    )


def to_checksums(text: str) -> Checksums:
    return NO_CHECKSUMS if text == _EMPTY else Checksums(**decode(text)[0])
