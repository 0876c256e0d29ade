"""Parses sizes and durations: `150MiB`, `10GB`; `90s`, `1h30m`, `PT10M`."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGTP])(I?)B?|B)?", re.IGNORECASE)
_UNITS: Final = "KMGTP"
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)")
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern}\s*)+")
_SECONDS: Final = {"ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400"}
_ISO_8601: Final = TypeAdapter(timedelta)
_LONGEST: Final = timedelta(days=3650).total_seconds()


def size(value: object) -> object:
    """Parses a size such as `150 MiB` (1024 per step) or `10GB` (1000 per step), in any case.

    Returns other types unchanged, for the field's own type. Raises ValueError.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError("must be bytes, or a size such as 150MiB (of 1024) or 10GB (of 1000)")
    number, unit, binary = match.groups()
    step = _UNITS.index(unit.upper()) + 1 if unit else 0
    exact = Decimal(number) * (1024 if binary else 1000) ** step
    if exact != int(exact):
        raise ValueError("must be a whole number of bytes")
    return int(exact)


def duration(value: object) -> object:
    """Parses a duration such as `90s`, `1h30m` or `PT10M`.

    Returns a number unchanged: the field's own type takes it as seconds. Raises ValueError.
    """
    if not isinstance(value, str):
        return value
    try:
        return _parsed(value.strip())
    except OverflowError:
        raise ValueError("must be at most 3650 days") from None


def _parsed(text: str) -> timedelta:
    if _DURATION.fullmatch(text):
        parts = _DURATION_PART.findall(text)
        seconds = sum(Decimal(number) * Decimal(_SECONDS[unit]) for number, unit in parts)
        return timedelta(seconds=float(seconds))
    if _NUMBER.fullmatch(text):
        return timedelta(seconds=float(text))
    if text.startswith("P"):
        return _ISO_8601.validate_python(text)
    raise ValueError("must be seconds, or a time such as 90s, 1h30m, 7d or PT10M")


def _seconds(value: object) -> object:
    parsed = duration(value)
    return parsed.total_seconds() if isinstance(parsed, timedelta) else parsed


def folded(value: object) -> object:
    """Matches a word in any case with one of the setting's words."""
    return value.strip().lower() if isinstance(value, str) else value


def _not_forever(seconds: float) -> float:
    if seconds > _LONGEST:
        raise ValueError("must be at most 3650 days")
    return seconds


Bytes = BeforeValidator(size)
AnyCase = BeforeValidator(folded)
Seconds = Annotated[
    float, Field(ge=0, allow_inf_nan=False), AfterValidator(_not_forever), BeforeValidator(_seconds)
]
PositiveSeconds = Annotated[
    float, Field(gt=0, allow_inf_nan=False), AfterValidator(_not_forever), BeforeValidator(_seconds)
]
