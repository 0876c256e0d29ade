"""Command line: `attachery serve | dev | demo | migrate | check | keys create`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from attachery_client.errors import AttacheryError as ClientError
from attachery_service.cli import check, demo, dev, keys, migrate, serve
from attachery_service.domain.errors import AttacheryError
from attachery_service.domain.identity import Scope
from attachery_service.embedded.errors import EmbeddedServerError
from attachery_service.logs import configure_logs, redact
from attachery_service.store.migrating import SchemaError

Command = Callable[[argparse.Namespace], Awaitable[int]]


def run(arguments: Sequence[str]) -> int:
    """Exit code: 0 done, 1 failed, 2 not understood or not configured."""
    options = _parser().parse_args(arguments)
    configure_logs()
    command: Command = options.command
    try:
        return asyncio.run(_awaited(command, options))
    except ValidationError as error:
        return _failed(_settings_message(error), 2)
    except AttacheryError as error:
        cause = f" ({type(error.__cause__).__name__}: {error.__cause__})" if error.__cause__ else ""
        return _failed(redact(f"{error.message}{cause}"), 1)
    except (EmbeddedServerError, SchemaError, ClientError, OSError) as error:
        return _failed(redact(str(error)), 1)
    except KeyboardInterrupt:
        return 130


async def _awaited(command: Command, options: argparse.Namespace) -> int:
    return await command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="attachery", description="Upload sessions over gRPC.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "serve", serve.run, "serve, configured by ATTACHERY_* variables")
    _add_dev(_add(commands, "dev", dev.run, "serve with embedded Postgres and object storage"))
    _add_demo(_add(commands, "demo", demo.run, "take one file through the whole flow"))
    _add(commands, "migrate", migrate.run, "bring the database's schema up to date")
    _add_ready_file(_add(commands, "check", check.run, "show what the service finds outside"))
    keys_command = commands.add_parser("keys", help="manage API keys")
    verbs = keys_command.add_subparsers(required=True, metavar="VERB")
    _add_keys_create(_add(verbs, "create", keys.create, "make a key and print it once"))
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Command,
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command)
    return parser


def _add_dev(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument("--metrics-listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--data-dir", type=Path, default=Path(".attachery"), metavar="DIR")
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


def _add_keys_create(parser: argparse.ArgumentParser) -> None:
    _add_ready_file(parser)
    parser.add_argument("--name", required=True, help="of the principal, shown in the history")
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


def _failed(message: str, code: int) -> int:
    print(f"attachery: {message}", file=sys.stderr)
    return code


def _settings_message(error: ValidationError) -> str:
    lines = [
        f"  ATTACHERY_{'.'.join(str(part) for part in e['loc']).upper()}: {e['msg']}"
        for e in error.errors(include_input=False, include_url=False)
    ]
    return "\n".join(["the settings are not usable:", *lines])
