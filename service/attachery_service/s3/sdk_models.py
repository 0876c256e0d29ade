"""The SDK's own description of S3, read without what nobody asks of it here.

The SDK reads it into ordered dicts with all of its manual, 11 MB in each process; as plain dicts,
without the manual's text, it takes 6 MB. Everything else is in it, in the same order.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

from botocore.loaders import JSONFileLoader

_TEXT: Final = "documentation"


class LeanModels(JSONFileLoader):
    """What the SDK's loader reads its files with."""

    def load_file(self, file_path: str) -> Any:
        """What is in the file of this path without its ending; None if there is none."""
        plain, packed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
        if plain.is_file():
            return _read(plain.read_bytes())
        if packed.is_file():
            return _read(gzip.decompress(packed.read_bytes()))
        return None


def _read(content: bytes) -> Any:
    return json.loads(content, object_pairs_hook=_without_text)


def _without_text(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: "" if _is_text(name, value) else value for name, value in pairs}


def _is_text(name: str, value: object) -> bool:
    """A field of this name is described by a dict."""
    return name == _TEXT and isinstance(value, str)
