"""The line that a failed command prints."""

from __future__ import annotations

import structlog
from pydantic import ValidationError

from attachery_service.cli.errors import CommandError
from attachery_service.domain.errors import (
    AttacheryError,
    DatabaseUnavailable,
    InvalidRequest,
    StorageMisconfigured,
    StorageUnavailable,
)
from attachery_service.postgres.connection.diagnosis import DatabaseMisconfigured
from attachery_service.postgres.migrate import SchemaError
from attachery_service.ratelimit.redis import RateLimitStoreError
from attachery_service.settings.environment import UnknownSettingsError
from attachery_service.settings.toml import SettingsFileError

_log = structlog.get_logger("attachery.cli")

# The command line, a setting or a settings file is wrong.
NOT_CONFIGURED = (ValidationError, InvalidRequest, UnknownSettingsError, SettingsFileError)

# Headings for operators in place of the messages for callers; the first that matches.
_HEADINGS: tuple[tuple[type[AttacheryError], str], ...] = (
    (DatabaseMisconfigured, "the database cannot be used"),
    (DatabaseUnavailable, "the database cannot be reached"),
    (StorageMisconfigured, "object storage cannot be used"),
    (StorageUnavailable, "object storage cannot be reached"),
)


def error_line(error: Exception) -> str:
    """Explain an error to the operator. An unexpected one is a bug and logged with its trace."""
    match error:
        case ValidationError():
            return _settings_message(error)
        case InvalidRequest():
            return _violations(error)
        case AttacheryError():
            return _explanation(error)
        case OSError(filename=str(name), strerror=str(reason)):
            return f"{name}: {reason}"
        case (
            CommandError()
            | SchemaError()
            | SettingsFileError()
            | UnknownSettingsError()
            | RateLimitStoreError()
            | OSError()
        ):
            return str(error)
    _log.error("bug", exc_info=error)
    return "this is a bug in Attachery, described in the line above"


def _violations(error: InvalidRequest) -> str:
    listed = [f"{found.field}: {found.description}" for found in error.violations]
    return "; ".join(listed) or error.message


def _explanation(error: AttacheryError) -> str:
    """Join the failed part, the reason with a remedy, and the text of the first cause."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    cause = "" if first is error else f"{type(first).__name__}: {first}"
    heading = next((text for kind, text in _HEADINGS if isinstance(error, kind)), error.message)
    detail = error.facts.get("detail", "")
    said = ": ".join(part for part in (heading, detail) if part)
    return f"{said} ({cause})" if cause else said


def _settings_message(error: ValidationError) -> str:
    """List names and rules, never values: they may be secret."""
    findings = error.errors(include_input=False, include_url=False)
    return "the settings are not usable: " + "; ".join(
        _finding(f["loc"], f["msg"]) for f in findings
    )


def _finding(where: tuple[int | str, ...], message: str) -> str:
    rule = message.removeprefix("Value error, ").replace("Field required", "is required")
    return f"ATTACHERY_{str(where[0]).upper()}: {rule}" if where else rule
