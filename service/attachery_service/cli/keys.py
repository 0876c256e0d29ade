"""`attachery keys`: manage API keys. The database stores a digest of each."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from attachery_service.app.options import database_options
from attachery_service.cli.arguments import add_ready_file, add_verb, lifetime, seconds
from attachery_service.cli.errors import CommandError
from attachery_service.cli.ready_file import settings_of
from attachery_service.domain import inputs
from attachery_service.domain.code_points import is_printable
from attachery_service.domain.credentials import ApiKey, StoredKey
from attachery_service.domain.identity import Principal, Scope
from attachery_service.domain.validation import Validator
from attachery_service.postgres.database import open_database
from attachery_service.postgres.migrate import require_schema
from attachery_service.postgres.repositories.api_keys import ListedKey, PostgresApiKeys

_MAX_NAME_BYTES = 128


def add_arguments(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_create(add_verb(verbs, "create", create, "create a key and print it once"))
    add_ready_file(add_verb(verbs, "list", list_all, "show every key except its secret"))
    _add_key_id(add_verb(verbs, "revoke", revoke, "revoke a key"))
    _add_rotate(add_verb(verbs, "rotate", rotate, "replace a key by a new one and print it"))


def _add_create(parser: ArgumentParser) -> None:
    add_ready_file(parser)
    parser.add_argument(
        "--name", type=_name, required=True, help="name of the principal, shown in the history"
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
    _add_ttl(parser, "lifetime of the key, such as 90d; unlimited by default")


def _add_key_id(parser: ArgumentParser) -> None:
    add_ready_file(parser)
    parser.add_argument("id", metavar="ID", help="as `create` and `list` print it")


def _add_rotate(parser: ArgumentParser) -> None:
    _add_key_id(parser)
    parser.add_argument(
        "--overlap",
        type=seconds,
        default=0,
        metavar="SECONDS",
        help="how long the old key remains valid; 0 by default",
    )
    _add_ttl(parser, "lifetime of the new key; by default it expires when the old one does")


def _add_ttl(parser: ArgumentParser, summary: str) -> None:
    parser.add_argument("--ttl", type=lifetime, metavar="DURATION", help=summary)


def _name(text: str) -> str:
    if not (is_printable(text) and 1 <= len(text.encode()) <= _MAX_NAME_BYTES):
        raise ArgumentTypeError(f"must be 1 to {_MAX_NAME_BYTES} printable bytes")
    return text


async def create(options: Namespace) -> int:
    """Print `{"id", "key"}` as one JSON line; the key cannot be shown again."""
    principal = Principal(
        name=options.name,
        tenants=None if options.all_tenants else frozenset(_tenants(options.tenant)),
        scopes=frozenset(Scope(name) for name in options.scope),
    )
    key = ApiKey.generate()
    async with _keys(options) as keys:
        await keys.store(key.key_id, StoredKey(key.secret_digest, principal), options.ttl)
    _show(key)
    return 0


async def list_all(options: Namespace) -> int:
    """Print one JSON line per key, the oldest first, without its secret."""
    async with _keys(options) as keys:
        found = await keys.list()
    for key in found:
        print(json.dumps(_line(key)))
    return 0


async def revoke(options: Namespace) -> int:
    """Revoke a key; a revoked key stays revoked."""
    async with _keys(options) as keys:
        if not await keys.revoke(options.id):
            raise CommandError(f"there is no key {options.id!r}")
    return 0


async def rotate(options: Namespace) -> int:
    """Print a new key for the same principal, as `create` does, and revoke the old one."""
    key, overlap = ApiKey.generate(), timedelta(seconds=options.overlap)
    async with _keys(options) as keys:
        if not await keys.rotate(options.id, key.key_id, key.secret_digest, overlap, options.ttl):
            raise CommandError(f"there is no key {options.id!r}, or it was revoked or has expired")
    _show(key)
    return 0


@asynccontextmanager
async def _keys(options: Namespace) -> AsyncIterator[PostgresApiKeys]:
    async with open_database(database_options(settings_of(options.ready_file))) as database:
        await require_schema(database)
        yield PostgresApiKeys(database)


def _show(key: ApiKey) -> None:
    print(json.dumps({"id": key.key_id, "key": key.text}))


def _line(key: ListedKey) -> dict[str, object]:
    principal = key.principal
    return {
        "id": key.key_id,
        "name": principal.name,
        "tenants": "*" if principal.tenants is None else sorted(principal.tenants),
        "scopes": sorted(principal.scopes),
        "create_time": _text(key.create_time),
        "expire_time": principal.expire_time and _text(principal.expire_time),
        "revoke_time": key.revoke_time and _text(key.revoke_time),
    }


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _tenants(names: list[str]) -> list[str]:
    validator = Validator()
    tenants = [inputs.tenant_id(validator, name, "--tenant") for name in names]
    validator.raise_if_invalid()
    return tenants
