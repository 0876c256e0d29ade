"""Parses a database URL of a hosting provider into parameters that asyncpg supports.

asyncpg sends every unknown parameter to the server as a setting, and the server then refuses the
connection. Here each known parameter is passed on, translated, or dropped and logged; an unknown
one is refused by its name. Tests run it on the URLs of each provider (asyncpg 0.32); it changes
connections only, so it has neither a gain in speed nor a switch.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from attachery_service.common.spelling import similar
from attachery_service.postgres.connection import url_parameters as parameters

_FORM: Final = "must be postgresql://USER:PASSWORD@HOST:PORT/NAME, with %XX for special characters"
_MAX_PORT: Final = 65535
_APPLICATION: Final = "attachery"

# `postgresql+asyncpg` and the like are SQLAlchemy's.
_SCHEME: Final = re.compile(r"postgres(ql)?(\+[a-z0-9_]+)?")
# One entry of what may be a list of hosts, after the user and the password.
_HOST: Final = re.compile(r"(?:\[[^\]]*\]|[^\s:\[\]]*)(?::([0-9]{1,5}))?")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_NO: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAddress:
    """The address and options of a connection. `dsn` is for asyncpg and contains the password.

    `connect_timeout` in seconds. `dropped` and `unprotected` name the parameters that have no
    effect here; without those of `unprotected`, a connection is less protected than the URL
    requires.
    """

    dsn: str = field(repr=False)
    tls: Tls | None
    connect_timeout: float | None
    server_settings: Mapping[str, str]
    prepared_statements: bool
    dropped: tuple[str, ...]
    unprotected: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS options that asyncpg has no parameter for.

    `verified`: by the system's authorities and by host name (`sslrootcert=system`), else not at all
    (`sslmode=no-verify`).
    """

    verified: bool
    certificate: str | None
    key: str | None
    password: str = field(repr=False)

    def context(self) -> ssl.SSLContext:
        """Builds the context. Raises OSError or ssl.SSLError for an unusable certificate or key."""
        context = ssl.create_default_context()
        if not self.verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, lambda: self.password)
        if ssl.HAS_ALPN:
            context.set_alpn_protocols(["postgresql"])  # for sslnegotiation=direct
        return context


def read_database_url(url: str) -> DatabaseAddress:
    """Parses a URL. Raises ValueError, whose text has names and rules, never values."""
    parts = _split(url)
    given = _parameters(parts.query)
    tls = _tls(given)
    return DatabaseAddress(
        dsn=_dsn(parts, _passed(given, tls)),
        tls=tls,
        connect_timeout=_connect_timeout(given),
        server_settings=_server_settings(given),
        prepared_statements=not any(_avoids_prepared(name, given[name]) for name in given),
        dropped=tuple(sorted(n for n in given if _is_dropped(n) and not _protects(n, given[n]))),
        unprotected=tuple(sorted(name for name in given if _protects(name, given[name]))),
    )


def _split(url: str) -> SplitResult:
    """Splits the URL; rejects one in which parts of the password would become host or database."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise ValueError(_FORM) from None
    if not _SCHEME.fullmatch(parts.scheme) or parts.fragment:
        raise ValueError(_FORM)
    _, at, hosts = parts.netloc.rpartition("@")
    if hosts and not at and "@" in f"{parts.path}{parts.query}":
        raise ValueError(_FORM)  # a slash or a question mark in the password
    for host in hosts.split(","):
        match = _HOST.fullmatch(host)
        if match is None or int(match[1] or 0) > _MAX_PORT:
            raise ValueError(_FORM)
    return parts


def _parameters(query: str) -> dict[str, str]:
    """Returns the non-empty parameters; of repeated ones the last."""
    if not all("=" in part for part in query.split("&") if part):
        raise ValueError(_FORM)
    given = {name: value for name, value in parse_qsl(query) if value}
    if unknown := sorted(given.keys() - parameters.KNOWN):
        raise ValueError("; ".join(_unknown(name) for name in unknown))
    for name, values in parameters.VALUES.items():
        if given.get(name, "") not in {"", *values}:
            raise ValueError(f"the parameter {name} must be one of {', '.join(sorted(values))}")
    if not all(_is_port(port) for port in given.get("port", "0").split(",")):
        raise ValueError("the parameter port must be a number up to 65535, or one for each host")
    return given


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= _MAX_PORT


def _unknown(name: str) -> str:
    if not _NAME.fullmatch(name):  # the name may be a part of a password
        return _FORM
    if suggestion := similar(name, parameters.KNOWN):
        return f"unknown parameter {name} (did you mean {suggestion}?)"
    return f"unknown parameter {name} (a setting of the server goes into options=-c NAME=VALUE)"


def _dsn(parts: SplitResult, passed: Mapping[str, str]) -> str:
    """Builds asyncpg's URL, with user and password quoted: asyncpg splits them at the first `@`."""
    user_info, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = user_info.partition(":")
    credentials = f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}"
    name = "" if parts.path == "/" else parts.path
    query = f"?{urlencode(passed)}" if passed else ""
    return f"postgresql://{credentials}{at}{hosts}{name}{query}"


def _passed(given: Mapping[str, str], tls: Tls | None) -> dict[str, str]:
    """Returns the passed parameters, without those of TLS if the service builds its own context."""
    passed = {name: value for name, value in given.items() if name in parameters.PASSED}
    if tls is not None:
        passed = {n: v for n, v in passed.items() if n == "sslnegotiation" or n[:3] != "ssl"}
    elif mode := _ssl_mode(given):
        passed["sslmode"] = mode
    if "hostaddr" in given and "host" not in given:
        passed["host"] = given["hostaddr"]
    return passed


def _ssl_mode(given: Mapping[str, str]) -> str | None:
    if "sslmode" in given:
        return given["sslmode"]
    if "sslaccept" in given:
        return "verify-full" if given["sslaccept"] == "strict" else "no-verify"
    chosen = given.get("ssl", given.get("requiressl", "no"))
    if chosen in parameters.VALUES["sslmode"]:
        return chosen
    return "require" if _is_yes(chosen) else None


def _tls(given: Mapping[str, str]) -> Tls | None:
    """Reads the TLS parameters. As libpq, verifies in full with the system's authorities."""
    mode, roots = _ssl_mode(given), given.get("sslrootcert")
    strict = given.get("sslaccept") == "strict" and roots is None
    verified = mode != "disable" and (roots == "system" or strict)
    if not verified and mode != "no-verify":
        return None
    return Tls(
        verified=verified,
        certificate=given.get("sslcert"),
        key=given.get("sslkey"),
        password=given.get("sslpassword", ""),
    )


def _connect_timeout(given: Mapping[str, str]) -> float | None:
    """Returns None for the default, also instead of libpq's zero, which means no limit."""
    try:
        seconds = float(given.get("connect_timeout", "0"))
    except ValueError:
        raise ValueError("the parameter connect_timeout must be a number of seconds") from None
    return min(seconds, 600.0) if seconds > 0 else None


def _server_settings(given: Mapping[str, str]) -> dict[str, str]:
    settings = {name: v for name, v in given.items() if name in parameters.SERVER_SETTINGS}
    schema = given.get("schema", given.get("currentSchema", "public"))
    if schema != "public":
        settings.setdefault("search_path", schema)
    fallback = given.get("fallback_application_name", _APPLICATION)
    return {**settings, "application_name": given.get("application_name", fallback)}


def _avoids_prepared(name: str, value: str) -> bool:
    if name == parameters.POOLED:
        return _is_yes(value)
    if name in parameters.QUERY_MODES:
        return value not in parameters.PREPARING_MODES
    return name in parameters.PREPARED and not _is_yes(value)


def _is_dropped(name: str) -> bool:
    return name in parameters.DROPPED or name in parameters.PROTECTING


def _protects(name: str, value: str) -> bool:
    demanding = parameters.PROTECTING.get(name)
    return demanding is not None and (not demanding or value in demanding)


def _is_yes(value: str) -> bool:
    return value.lower() not in _NO
