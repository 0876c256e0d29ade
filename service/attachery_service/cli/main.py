"""The command line: `attachery COMMAND`."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import structlog
from pydantic import Field, TypeAdapter, ValidationError

from attachery_client.errors import AttacheryError as ClientError
from attachery_service.cli import audit, bucket, check, demo, dev, keys, migrate, serve, worker
from attachery_service.cli.ready_file import DEFAULT_DATA_DIR
from attachery_service.cli.supervisor import WorkersError
from attachery_service.common.spelling import similar
from attachery_service.domain.code_points import is_printable
from attachery_service.domain.errors import (
    AttacheryError,
    DatabaseUnavailable,
    InvalidRequest,
    StorageMisconfigured,
    StorageUnavailable,
)
from attachery_service.domain.identifiers import parse_tenant_id
from attachery_service.domain.identity import Scope
from attachery_service.domain.validation import RuleViolation
from attachery_service.embedded.errors import EmbeddedServerError
from attachery_service.observability.logs import configure_logs, redact
from attachery_service.postgres.connection.diagnosis import DatabaseMisconfigured
from attachery_service.postgres.migrate import SchemaError
from attachery_service.ratelimit.redis import RateLimitStoreError
from attachery_service.settings.environment import (
    UnknownSettingsError,
    rename_former_variables,
    require_known_variables,
)
from attachery_service.settings.process import LoopFactory
from attachery_service.settings.quantities import Seconds
from attachery_service.settings.service import Settings, address
from attachery_service.settings.toml import SettingsFileError

_log = structlog.get_logger("attachery.cli")

_MAX_NAME_BYTES = 128
_MAX_SECONDS = 366 * 86_400
_MOST_WORKERS = 256

_SECONDS: TypeAdapter[float] = TypeAdapter(Annotated[Seconds, Field(le=_MAX_SECONDS)])

_NOT_CONFIGURED = (ValidationError, InvalidRequest, UnknownSettingsError, SettingsFileError)

# For operators, who have lost nothing and need not be told so; the first that fits.
_OUTSIDE: tuple[tuple[type[AttacheryError], str], ...] = (
    (DatabaseMisconfigured, "the database cannot be used"),
    (DatabaseUnavailable, "the database cannot be reached"),
    (StorageMisconfigured, "object storage cannot be used"),
    (StorageUnavailable, "object storage cannot be reached"),
)

Command = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


def run(arguments: Sequence[str], loop_factory: LoopFactory | None = None) -> int:
    """Runs a command; returns its exit code.

    0: done. 1: the database, object storage, Redis or the machine refused or did not answer, or a
    bug. 2: the command line, a setting or a settings file is wrong. 130: interrupted. Of an audit
    1 says that it has found something, and 2 that it could not look.
    """
    options = _parsed(arguments)
    configure_logs()
    command: Command = options.command
    try:
        rename_former_variables(os.environ)
        require_known_variables(os.environ, Settings.model_fields)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(command(options))
    except KeyboardInterrupt:
        print("attachery: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        message = redact(" ".join(_message(error).split()))
        print(f"attachery: {message}", file=sys.stderr)
        return 2 if isinstance(error, _NOT_CONFIGURED) else options.failure


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Raises SystemExit, with the usage and what is wrong on standard error."""
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        parser: argparse.ArgumentParser = options.parser
        parser.error(f"unrecognized arguments: {', '.join(_with_hint(parser, unknown))}")
    return options


def _with_hint(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> Iterator[str]:
    flags = set(re.findall(r"--[a-z0-9-]+", parser.format_help()))
    for argument in unknown:
        suggestion = similar(argument.partition("=")[0], flags)
        is_flag = argument.startswith("-") and suggestion is not None
        yield f"{argument} (did you mean {suggestion}?)" if is_flag else argument


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="attachery", description="Upload sessions over gRPC.", allow_abbrev=False
    )
    # Printed by `__main__`, which needs none of this; here for the help.
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(_add(commands, "serve", serve.run, "serve, configured by ATTACHERY_* variables"))
    _add(commands, "worker", worker.run, "sweep: expire, purge and clean up what time is over for")
    _add_dev(_add(commands, "dev", dev.run, "serve with embedded Postgres and object storage"))
    _add_demo(_add(commands, "demo", demo.run, "take one file through the whole flow"))
    _add(commands, "migrate", migrate.run, "bring the database's schema up to date")
    _add_ready_file(_add(commands, "check", check.run, "show what the service finds outside"))
    _add_audit(_add(commands, "audit", audit.run, "find what database and storage disagree about"))
    bucket_command = commands.add_parser("bucket", help="prepare the bucket")
    bucket_verbs = bucket_command.add_subparsers(required=True, metavar="VERB")
    _add_bucket_setup(
        _add(bucket_verbs, "setup", bucket.setup, "write its rules and print its policies")
    )
    keys_command = commands.add_parser("keys", help="manage API keys")
    verbs = keys_command.add_subparsers(required=True, metavar="VERB")
    _add_keys_create(_add(verbs, "create", keys.create, "make a key and print it once"))
    _add_ready_file(_add(verbs, "list", keys.list_all, "show every key but its secret"))
    _add_key_id(_add(verbs, "revoke", keys.revoke, "end a key"))
    _add_keys_rotate(_add(verbs, "rotate", keys.rotate, "print a new key in place of one"))
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Command,
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command, failure=1, parser=parser)
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--workers", type=_workers, default=1, metavar="N", help="processes on one port; 1"
    )
    kind.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # one of them


def _add_dev(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", type=address, default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument(
        "--metrics-listen", type=address, default="127.0.0.1:0", metavar="HOST:PORT"
    )
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR, metavar="DIR")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="written when ready")
    parser.add_argument("--database-url", metavar="URL", help="instead of the embedded Postgres")
    parser.add_argument("--s3-endpoint", metavar="URL", help="instead of the embedded store")
    parser.add_argument("--s3-bucket", default="attachery", metavar="NAME")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)


def _add_ready_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="act on a running `attachery dev`"
    )


def _add_audit(parser: argparse.ArgumentParser) -> None:
    """It exits with 1 when it has found something, so with 2 when it could not look."""
    parser.set_defaults(failure=2)
    _add_ready_file(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object per line")
    parser.add_argument(
        "--tenant", action="append", type=_tenant, metavar="T", help="may be repeated; all if none"
    )
    parser.add_argument(
        "--repair", action="store_true", help="put right what is safe: never what is missing"
    )
    parser.add_argument(
        "--orphan-age",
        type=_seconds,
        default=86_400,
        metavar="SECONDS",
        help="how old an orphaned object must be to be deleted; a day if not given",
    )


def _add_bucket_setup(parser: argparse.ArgumentParser) -> None:
    _add_ready_file(parser)
    parser.add_argument(
        "--cors-origin",
        action="append",
        type=bucket.origin,
        metavar="ORIGIN",
        help="whose pages may upload and download, such as https://app.example; may be repeated",
    )
    parser.add_argument(
        "--principal",
        action="append",
        type=bucket.principal,
        metavar="ARN",
        help="whom alone the printed policy lets at the objects; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing, say what would be")


def _add_keys_create(parser: argparse.ArgumentParser) -> None:
    _add_ready_file(parser)
    parser.add_argument(
        "--name", type=_name, required=True, help="of the principal, shown in the history"
    )
    tenants = parser.add_mutually_exclusive_group(required=True)
    tenants.add_argument("--tenant", action="append", metavar="T", help="may be repeated")
    tenants.add_argument("--all-tenants", action="store_true")
    parser.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=[scope.value for scope in Scope],
        metavar="S",
        help=f"may be repeated; one of: {', '.join(Scope)}",
    )


def _add_key_id(parser: argparse.ArgumentParser) -> None:
    _add_ready_file(parser)
    parser.add_argument("id", metavar="ID", help="as `create` and `list` print it")


def _add_keys_rotate(parser: argparse.ArgumentParser) -> None:
    _add_key_id(parser)
    parser.add_argument(
        "--overlap",
        type=_seconds,
        default=0,
        metavar="SECONDS",
        help="how long the old key works on; 0 if not given",
    )


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_WORKERS):
        raise argparse.ArgumentTypeError(f"must be 1 to {_MOST_WORKERS}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return _SECONDS.validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(
            f"must be 0 to {_MAX_SECONDS} seconds, or a time such as 90s, 36h or 7d"
        ) from None


def _tenant(text: str) -> str:
    try:
        return parse_tenant_id(text)
    except RuleViolation as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _name(text: str) -> str:
    if not (is_printable(text) and 1 <= len(text.encode()) <= _MAX_NAME_BYTES):
        raise argparse.ArgumentTypeError(f"must be 1 to {_MAX_NAME_BYTES} printable bytes")
    return text


def _message(error: Exception) -> str:
    """What an operator can act on; anything else is a bug, and logged with its trace."""
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
            keys.KeyNotFoundError()
            | demo.DemoError()
            | EmbeddedServerError()
            | SchemaError()
            | SettingsFileError()
            | UnknownSettingsError()
            | RateLimitStoreError()
            | ClientError()
            | WorkersError()
            | OSError()
        ):
            return str(error)
    _log.error("bug", exc_info=error)
    return "this is a bug in Attachery, described in the line above"


def _violations(error: InvalidRequest) -> str:
    listed = [f"{found.field}: {found.description}" for found in error.violations]
    return "; ".join(listed) or error.message


def _explanation(error: AttacheryError) -> str:
    """What failed, why and what to do, and the text of the first cause."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    cause = "" if first is error else f"{type(first).__name__}: {first}"
    heading = next((text for kind, text in _OUTSIDE if isinstance(error, kind)), error.message)
    detail = error.facts.get("detail", "")
    said = ": ".join(part for part in (heading, detail) if part)
    return f"{said} ({cause})" if cause else said


def _settings_message(error: ValidationError) -> str:
    """Names and rules, never values: they may be secret."""
    findings = error.errors(include_input=False, include_url=False)
    return "the settings are not usable: " + "; ".join(
        _finding(f["loc"], f["msg"]) for f in findings
    )


def _finding(where: tuple[int | str, ...], message: str) -> str:
    rule = message.removeprefix("Value error, ").replace("Field required", "is required")
    return f"ATTACHERY_{str(where[0]).upper()}: {rule}" if where else rule
