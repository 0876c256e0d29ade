"""One JSON object per line on standard error, with nothing in it that gives access."""

from __future__ import annotations

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

# Signed URLs and keys are credentials for whoever reads them.
_SECRETS = re.compile(
    r"((?:X-Amz-(?:Signature|Credential|Security-Token))(?:=|%3D))[^&\s\"'\\]+"
    r"|(attk_[0-9a-f]{16}_)[0-9a-f]+"
    r"|((?:postgres(?:ql)?)://[^:@/\s]+:)[^@\s]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` with every secret of a known form blotted out."""
    return _SECRETS.sub(lambda match: f"{match[1] or match[2] or match[3]}[redacted]", text)


def configure_logs(level: str = "info") -> None:
    """For the whole process; what libraries log is let through from WARNING on."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            _redact_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=_factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _StandardError(structlog.PrintLogger):
    """Looks standard error up at each line, as tests and supervisors may replace it."""

    def __init__(self, name: str) -> None:
        super().__init__(sys.stderr)
        self.name = name


def _factory(*names: str) -> _StandardError:
    return _StandardError(names[0] if names else "attachery")


def _add_logger_name(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _redact_line(_: WrappedLogger, __: str, line: object) -> str:
    return redact(str(line))


class _JsonFormatter(logging.Formatter):
    """What libraries log, in the same form."""

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": self.formatTime(record),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return redact(str(structlog.processors.JSONRenderer()(None, "", event)))
