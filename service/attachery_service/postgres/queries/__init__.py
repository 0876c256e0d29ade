"""The statements, one `.sql` file each, named as the method that runs it.

`{name}` stands for the text of name.sql, for what several statements share: the columns of a
session, and how a transition claims its row and request id. It may hold such places itself.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_SHARED = re.compile(r"\{(\w+)\}")


@cache
def query(name: str) -> str:
    """The text of `name`.sql."""
    return _SHARED.sub(lambda shared: query(shared[1]).rstrip(), _read(name))


def _read(name: str) -> str:
    return files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
