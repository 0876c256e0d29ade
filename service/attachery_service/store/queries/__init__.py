"""The statements, one `.sql` file each, named as the method that runs it.

`{session_columns}` stands for the columns of a session, listed once in session_columns.sql.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> str:
    """The text of `name`.sql."""
    columns = _read("session_columns").rstrip()
    return _read(name).replace("{session_columns}", columns)


def _read(name: str) -> str:
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
