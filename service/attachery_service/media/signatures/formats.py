"""The description of a format and its signature."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Matcher = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. `types`: the types that its files are declared as, the usual one first.

    The types are in lower case. `text`: its files may be plain text. `weak`: the signature is too
    short to identify a file that is not declared as one of the types.
    """

    types: tuple[str, ...]
    matches: Matcher
    text: bool = False
    weak: bool = False


def one_format(
    types: str, signature: bytes | Matcher, *, text: bool = False, weak: bool = False
) -> Format:
    """Describes a format.

    `types`: names separated by white space. `signature`: a regular expression for the first bytes,
    in which a dot matches any byte.
    """
    matches = _begins(signature) if isinstance(signature, bytes) else signature
    return Format(tuple(types.split()), matches, text, weak)


def names(text: str) -> frozenset[str]:
    """Splits names at white space."""
    return frozenset(text.split())


def _begins(pattern: bytes) -> Matcher:
    match = re.compile(pattern, re.DOTALL).match
    return lambda first_bytes: match(first_bytes) is not None
