"""URLs of object storage, as operators write them.

An endpoint may have a path (`https://host/storage/v1/s3`, as Supabase has it). SigV4 signs the
path: clients sign the path that they send, and a proxy that strips a prefix reports the prefix to
object storage (Supabase Storage reads `X-Forwarded-Prefix`).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

_SCHEMES: Final = ("http", "https")
_MAX_PORT: Final = 65_535
# As in hosts files and container networks, which allow `_`; no label begins or ends with `-`.
_LABEL: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?", re.IGNORECASE)
_IP_V6: Final = re.compile(r"[0-9a-f:.]+", re.IGNORECASE)
# The characters that neither SigV4 nor an HTTP client escapes.
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def read_endpoint(text: str) -> str:
    """Normalizes the URL of an endpoint: scheme and host in lower case, no `/` at its end.

    Raises ValueError, whose text states the rule and does not repeat the URL, which may contain a
    password.
    """
    _require(text.isprintable() and " " not in text, "must not contain white space or controls")
    scheme, separator, _ = text.partition("://")
    _require(bool(separator), "must begin with http:// or https://")
    _require(scheme.lower() in _SCHEMES, "must begin with http:// or https://, no other scheme")
    parts = _split(text)
    _require(
        "@" not in parts.netloc,
        "must not contain a user or password: the access key has settings of its own",
    )
    _require("?" not in text, "must not contain a query (from `?` on)")
    _require("#" not in text, "must not contain a fragment (from `#` on)")
    path = parts.path.rstrip("/")
    _require(
        _PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/")),
        "must have a path of letters, digits and `-._~` only, without `.`, `..` and `//`",
    )
    return f"{scheme.lower()}://{_authority(parts)}{path}"


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("must have a host name or address; IPv6 in brackets: [::1]") from None


def _authority(parts: SplitResult) -> str:
    host, port = parts.hostname or "", _port(parts)
    _require(bool(host), "must have a host name or address")
    if ":" in host:
        _require(_IP_V6.fullmatch(host) is not None, "must have a plain IPv6 address in brackets")
        host = f"[{host}]"
    else:
        _require(host.isascii(), "must have the host name in its ASCII form (xn--…)")
        _require(
            _HOST.fullmatch(host) is not None,
            "must have a host name of letters, digits, `-`, `_` and `.`; no label begins or ends "
            "with `-`, or is longer than 63",
        )
    return host if port is None else f"{host}:{port}"


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"must have a port of 1 to {_MAX_PORT}") from None
    _require(port != 0, f"must have a port of 1 to {_MAX_PORT}")
    return port


def _require(condition: bool, rule: str) -> None:
    if not condition:
        raise ValueError(rule)
