"""Loads the SQL statements: one `.sql` file each, in folders by aggregate.

`:name` is a parameter. `{folder/name}` includes another file, for text that statements share: the
columns of a session, the end of its holds, how a transition claims its row. An included file has
parameters by name like any other, so it does not depend on the statement that includes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Self

_COMMENT = re.compile(r"--[^\n]*")
_INCLUDE = re.compile(r"\{(\w+/\w+)\}")
# A colon that does not belong to a cast.
_PARAMETER = re.compile(r"(?<!:):([a-z]\w*)")


@dataclass(frozen=True, slots=True)
class Query:
    """SQL with `$1 … $n`, and the names of these parameters in order."""

    text: str
    parameters: tuple[str, ...]

    @classmethod
    def compile(cls, sql: str) -> Self:
        """Replaces each named parameter by its number."""
        names = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
        numbers = {name: f"${number}" for number, name in enumerate(names, start=1)}
        return cls(_PARAMETER.sub(lambda found: numbers[found[1]], sql), names)

    def bind(self, values: Mapping[str, object]) -> list[object]:
        """Orders the values as the text numbers them. Raises TypeError unless the names match."""
        if len(values) != len(self.parameters):
            raise TypeError(f"takes {self.parameters}, not {tuple(values)}")
        try:
            return [values[name] for name in self.parameters]
        except KeyError as error:
            raise TypeError(f"takes {self.parameters}, not {tuple(values)}") from error


@cache
def query(name: str) -> Query:
    """Loads `name`.sql, such as `sessions/start`, with its includes, without comments.

    The text begins with its name, by which the server's logs and statistics show it.
    """
    sql = re.sub(r"\n\s*\n+", "\n", _COMMENT.sub("", _expanded(name))).strip()
    return Query.compile(f"/* {name} */\n{sql}")


def _expanded(name: str) -> str:
    sql = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda include: _expanded(include[1]).rstrip(), sql)
