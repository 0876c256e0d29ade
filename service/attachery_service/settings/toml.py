"""Settings files with TOML tables: rejected as a whole, with the line of the error."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from attachery_service.common.spelling import similar

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)


class SettingsFileError(ValueError):
    """The file cannot be used; the text has the place and the reason."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file of tables that are not validated yet."""

    path: Path
    text: str
    tables: Mapping[str, object]

    def read(
        self, name: str, model: type[M], names: re.Pattern[str], base: Mapping[str, object]
    ) -> M:
        """Validates a table by its model; omitted keys are as in `base`.

        Raises SettingsFileError.
        """
        table = self.tables[name]
        if not names.fullmatch(name) or not isinstance(table, dict):
            where = f"{self.path}:{_line_of(self.text, name, None)}"
            raise SettingsFileError(f"{where}: {name!r} is not a table with a valid name")
        try:
            return model.model_validate({**base, **table})
        except ValidationError as error:
            findings = error.errors(include_url=False, include_input=False)
            said = (self._finding(name, model, found) for found in findings)
            raise SettingsFileError("; ".join(dict.fromkeys(said))) from error

    def _finding(self, name: str, model: type[BaseModel], found: ErrorDetails) -> str:
        key = str(found["loc"][0]) if found["loc"] else None
        where = f"{self.path}:{_line_of(self.text, name, key)}: [{name}]"
        return f"{where} {key or ''}: {_rule(found, model)}".replace(" :", ":")


def open_tables(path: Path) -> TableFile:
    """Reads the tables of a file. Raises SettingsFileError, OSError."""
    try:
        text = path.read_text(encoding="utf-8")
        return TableFile(path, text, tomllib.loads(text))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsFileError(f"{path}: {error}") from error


def _rule(found: ErrorDetails, model: type[BaseModel]) -> str:
    if found["type"] != "extra_forbidden":
        return found["msg"].removeprefix("Value error, ")
    unknown = str(found["loc"][-1])
    suggestion = similar(unknown, _keys(model))
    what = "no such key" if len(found["loc"]) == 1 else f"no such key as {unknown!r}"
    return what + (f"; did you mean {suggestion!r}?" if suggestion else "")


def _keys(model: type[BaseModel]) -> set[str]:
    """Returns the keys of the table and of its nested tables."""
    own = set(model.model_fields)
    parts = (part for field in model.model_fields.values() for part in get_args(field.annotation))
    tables = (part for part in parts if isinstance(part, type) and issubclass(part, BaseModel))
    return own.union(*(_keys(table) for table in tables))


def _line_of(text: str, table: str, key: str | None) -> int:
    """Finds the line of a key in its table, or of the table's header."""
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
