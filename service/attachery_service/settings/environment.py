"""Renames former `ATTACHERY_*` variables and refuses unknown ones, such as misspelt ones.

Kubernetes adds variables of the same prefix to every pod, for each Service whose name begins with
`attachery` (https://kubernetes.io/docs/tutorials/services/connect-applications-service/, under
"Environment Variables"); clients in the same environment have some of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, MutableMapping
from difflib import get_close_matches
from typing import Final

import structlog

from attachery_service.common.spelling import similar

_log = structlog.get_logger("attachery.settings")

# Former name to current name, without the prefix. A former name stays valid for one release.
FORMER_NAMES: Final[Mapping[str, str]] = {"GRPC_ASK_AHEAD": "GRPC_ACCEPT_PREFETCH"}

_PREFIX: Final = "ATTACHERY_"
# A misspelt prefix counts only before the name of a setting: other software has variables, too.
_PREFIX_SIMILARITY: Final = 0.8

# Variables of client programs; `attachery` itself reads none of them.
_CLIENT_NAMES: Final = frozenset({"TARGET", "API_KEY", "TENANT", "TENANT_ID", "PROFILE"})
_CLIENT_PREFIX: Final = "CLIENT_"

# For the Service `attachery-web`: ATTACHERY_WEB_SERVICE_HOST, ATTACHERY_WEB_SERVICE_PORT_HTTP,
# ATTACHERY_WEB_PORT=tcp://10.0.0.11:80, ATTACHERY_WEB_PORT_80_TCP_ADDR and so on.
_HOST: Final = "SERVICE_HOST"
_INJECTED: Final = re.compile(
    r"SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
_ENDPOINT: Final = re.compile(r"(tcp|udp|sctp)://\S+")


class UnknownSettingsError(ValueError):
    """Unknown variables with the settings' prefix; the text has their names only."""


def rename_former_variables(
    environ: MutableMapping[str, str], former_names: Mapping[str, str] = FORMER_NAMES
) -> None:
    """Moves the value of each former variable to its current name, with a warning in the log.

    If both are set, the current name wins. Child processes inherit the current names.
    """
    given = {name.upper(): name for name in environ}
    for former, current in former_names.items():
        old, new = f"{_PREFIX}{former}", f"{_PREFIX}{current}"
        if old not in given:
            continue
        value = environ.pop(given[old])
        if value:
            _log.warning("setting renamed", former=old, current=new)
            name = given.get(new, new)
            environ[name] = environ.get(name) or value


def require_known_variables(environ: Mapping[str, str], settings: Collection[str]) -> None:
    """Refuses unknown `ATTACHERY_*` variables, all at once, each with the most similar setting.

    `settings`: their names in lower case, without the prefix. An empty variable counts as unset.
    Raises UnknownSettingsError.
    """
    known = {name.upper() for name in settings}
    given = {name.upper(): value for name, value in environ.items() if value}
    names = {name.removeprefix(_PREFIX) for name in given if name.startswith(_PREFIX)}
    unknown = names - known - _client_names(names) - _injected(names)
    complaints = [_complaint(name, known) for name in sorted(unknown)]
    complaints += _misspelt_prefixes(given, known)
    if complaints:
        raise UnknownSettingsError(f"unknown settings: {', '.join(complaints)}")
    _warn_of_port(given.get(f"{_PREFIX}PORT", ""))


def _client_names(names: Collection[str]) -> set[str]:
    return {name for name in names if name in _CLIENT_NAMES or name.startswith(_CLIENT_PREFIX)}


def _injected(names: Collection[str]) -> set[str]:
    """Returns the variables that Kubernetes adds for each Service, recognized by their host."""
    services = {"", *(name.removesuffix(_HOST) for name in names if name.endswith(f"_{_HOST}"))}
    return {
        name
        for name in names
        for service in services
        if name.startswith(service) and _INJECTED.fullmatch(name[len(service) :])
    }


def _misspelt_prefixes(given: Collection[str], known: Collection[str]) -> list[str]:
    parts = {name: name.partition("_") for name in given if not name.startswith(_PREFIX)}
    return [
        f"{name} (did you mean {_PREFIX}{setting}?)"
        for name, (prefix, _, setting) in sorted(parts.items())
        if setting in known
        and get_close_matches(prefix, [_PREFIX.rstrip("_")], cutoff=_PREFIX_SIMILARITY)
    ]


def _complaint(name: str, known: Collection[str]) -> str:
    suggestion = similar(name, known)
    return f"{_PREFIX}{name}" + (
        f" (did you mean {_PREFIX}{suggestion}?)" if suggestion is not None else ""
    )


def _warn_of_port(value: str) -> None:
    """Warns of a PORT variable with a number, set by a user: Kubernetes's has a URL."""
    if value and not _ENDPOINT.fullmatch(value):
        _log.warning("ATTACHERY_PORT is ignored; the address to listen on is ATTACHERY_LISTEN")
