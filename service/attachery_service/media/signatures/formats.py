"""What a format is, and how its signature is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Matcher = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Format:
    """`types`: what its files are declared as, the plainest name first, in lower case.

    `text`: its files may be all text. `weak`: the signature is so short that it says nothing of a
    file that is not declared as one of the types.
    """

    types: tuple[str, ...]
    matches: Matcher
    text: bool = False
    weak: bool = False


def one_format(
    types: str, signature: bytes | Matcher, *, text: bool = False, weak: bool = False
) -> Format:
    """`types`: names between white space. `signature`: a regular expression for the first bytes, in
    which a dot is any byte."""
    matches = _begins(signature) if isinstance(signature, bytes) else signature
    return Format(tuple(types.split()), matches, text, weak)


def names(text: str) -> frozenset[str]:
    """The names between white space."""
    return frozenset(text.split())


def _begins(pattern: bytes) -> Matcher:
    match = re.compile(pattern, re.DOTALL).match
    return lambda first_bytes: match(first_bytes) is not None
