"""Logs as one JSON object per line on standard error, with credentials redacted."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from structlog.typing import EventDict, WrappedLogger

from attachery_service.observability.traceback_limit import TracebackLimit, place_of

# Signed URLs and keys are credentials. The pattern keeps the text before a secret, in a URL, a
# header or the text of a dict, quoted or escaped in any way. The password of a URL ends at the last
# `@`, since it may contain one unescaped. Digits up to a slash are a port (RFC 3986, section 3.2):
# the path may contain an `@` too. The limit keeps the time linear.
_IS = r"[\"'\\]*(?:\s*[:=]\s*|%3D)[\"'\\]*"
_SECRETS = re.compile(
    rf"""
      (X-Amz-(?:Signature|Credential|Security-Token){_IS}) [^&\s"'\\]+
    | (\bSignature=) [0-9a-f]+
    | (\bBearer\s+) [^\s"'\\]{{8,}}
    | (\battk_[0-9a-f]{{1,16}}_?) [0-9a-f]+
    | (\batt[cs]_[0-9a-f]{{1,12}}_?) [\w-]+
    | (\bpostgres[a-z0-9+]*://[^:/\s]*:) \S+ (?=@)
    | (://[^:/\s"'\\]*:) (?!\d+/) \S{{1,4096}} (?=@)
    | ([?&](?:ssl)?password=) [^&\s"'\\]+
    """,
    re.IGNORECASE | re.VERBOSE,
)


_level: int = logging.INFO
_console: structlog.dev.ConsoleRenderer | None = None
_limit = TracebackLimit()

# Created once: `json.dumps` creates an encoder for each line, and takes twice as long.
_JSON = json.JSONEncoder(default=repr)

# Every text that the pattern matches has one of these. Testing for them first spares most lines the
# pattern, which takes ten times as long as the rest of a line.
_SIGNS = ("x-amz-", "signature=", "bearer", "attk_", "attc_", "atts_", "://", "password=")


def redact(text: str) -> str:
    """Returns `text` with every secret of a known form redacted."""
    folded = text.casefold()
    if not any(sign in folded for sign in _SIGNS):
        return text
    return _SECRETS.sub(lambda match: f"{match[match.lastindex or 0]}[redacted]", text)


def write_info(line: str) -> None:
    """Writes an INFO event that is encoded as JSON already, unless the level is higher."""
    if _level <= logging.INFO:
        _write(redact(line) if _console is None else _for_humans(json.loads(redact(line))))


def configure_logs(level: str = "info", *, human: bool = False) -> None:
    """Configures logging of the whole process; libraries log WARNING and above only.

    `human`: lines for a terminal instead of JSON; coloured unless NO_COLOR is set.
    """
    global _level, _console, _limit  # noqa: PLW0603 - as the configuration they go with
    _limit = TracebackLimit()
    _level = logging.getLevelName(level.upper())
    colors = not os.environ.get("NO_COLOR")
    _console = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24) if human else None
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _limit_tracebacks,
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=_factory,
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _limit_tracebacks(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Drops an event with a traceback if one of its kind was written within the last minute.

    The kind is the place where the exception was raised, and the event's name and reason. An event
    without an exception names its kind as `repeats` if every call of an outage may log it.
    """
    error = _exception_of(event.get("exc_info"))
    repeats = event.pop("repeats", None)
    if error is None and repeats is None:
        return event
    kind = _kind(event["logger"], event["event"], event.get("reason"), error, repeats)
    if not _limit.admit(kind):
        raise structlog.DropEvent
    return event


def _exception_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    given = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
    return given[1] if exc_info else None


def _kind(
    logger: str, event: str, reason: object, error: BaseException | None, repeats: object = None
) -> tuple[object, ...]:
    place = place_of(error.__traceback__) if error is not None else repeats
    return logger, event, reason, type(error).__name__ if error is not None else None, place


def _write_suppressed(*, at_end: bool = False) -> None:
    """Writes how many events of each kind were dropped."""
    for kind, count in _limit.take(at_end=at_end):
        logger, event, reason, error, _ = kind if isinstance(kind, tuple) else (kind,) * 5
        line: EventDict = {
            "event": "suppressed",
            "level": "warning",
            "logger": logger,
            "of": event,
            "reason": reason,
            "cause": error,
            "count": count,
            "timestamp": _now(),
        }
        _write(_render(None, "warning", line))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


atexit.register(_write_suppressed, at_end=True)


def _write(line: str) -> None:
    """Writes to the current standard error, which tests and supervisors may replace.

    A closed log must not fail a call.
    """
    if _limit.is_due():
        _write_suppressed()
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")


class _Logger:
    """Receives structlog's lines."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = exception = critical = msg


class _Handler(logging.Handler):
    """Receives the standard library's records."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._is_admitted(record):
                _write(self.format(record))
        except Exception:
            self.handleError(record)

    def _is_admitted(self, record: logging.LogRecord) -> bool:
        error = _exception_of(record.exc_info)
        if error is None:
            return True
        return _limit.admit(_kind(record.name, str(record.msg), None, error))


def _factory(*names: str) -> _Logger:
    return _Logger(names[0] if names else "attachery")


def _add_logger_name(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _render(_: WrappedLogger, __: str, event: EventDict) -> str:
    line = redact(_JSON.encode(event))
    return line if _console is None else _for_humans(json.loads(line))


def _for_humans(event: EventDict) -> str:
    """Removes fields for machines from an event that is already redacted."""
    if _console is None:
        return ""
    event["timestamp"] = datetime.now().astimezone().strftime("%H:%M:%S")
    event.pop("logger", None)
    return str(_console(None, "", event))


class _JsonFormatter(logging.Formatter):
    """Formats the records of libraries like the service's own events."""

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="microseconds")
            .replace("+00:00", "Z"),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = self.formatStack(record.stack_info)
        return _render(None, "", event)
