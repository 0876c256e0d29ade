"""Settings that are a file of TOML tables: refused as a whole, with the line that is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


class SettingsFileError(ValueError):
    """The file cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of tables, not looked into yet."""

    path: Path
    text: str
    tables: Mapping[str, object]

    def read(
        self, name: str, model: type[M], names: re.Pattern[str], base: Mapping[str, object]
    ) -> M:
        """A table by its model; what it does not say is as in `base`. Raises SettingsFileError."""
        table = self.tables[name]
        if not names.fullmatch(name) or not isinstance(table, dict):
            where = f"{self.path}:{_line_of(self.text, name, None)}"
            raise SettingsFileError(f"{where}: {name!r} is no table named as it must be")
        try:
            return model.model_validate({**base, **table})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = str(first["loc"][0]) if first["loc"] else None
            where = f"{self.path}:{_line_of(self.text, name, key)}: [{name}]"
            said = f"{where} {key or ''}: {first['msg']}".replace(" :", ":")
            raise SettingsFileError(said) from error


def open_tables(path: Path) -> TableFile:
    """Raises SettingsFileError, OSError."""
    try:
        text = path.read_text(encoding="utf-8")
        return TableFile(path, text, tomllib.loads(text))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsFileError(f"{path}: {error}") from error


def _line_of(text: str, table: str, key: str | None) -> int:
    """The line of a key in its table, or of the table's header; the parser does not tell."""
    header = re.compile(rf"\s*\[\s*[\"']?{re.escape(table)}[\"']?\s*\]|\s*{re.escape(table)}\s*=")
    entry = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=") if key else None
    found, inside = 1, False
    for number, line in enumerate(text.splitlines(), start=1):
        if header.match(line):
            found, inside = number, True
        elif re.match(r"\s*\[", line):
            inside = False
        elif inside and entry and entry.match(line):
            return number
    return found
