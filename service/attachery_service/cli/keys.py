"""`attachery keys`: API keys, of which only a digest is kept."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from attachery_service.app.options import database_options
from attachery_service.cli.ready_file import settings_of
from attachery_service.domain import inputs
from attachery_service.domain.credentials import ApiKey, StoredKey
from attachery_service.domain.identity import Principal, Scope
from attachery_service.domain.validation import Validator
from attachery_service.postgres.database import open_database
from attachery_service.postgres.migrate import require_schema
from attachery_service.postgres.repositories.api_keys import ListedKey, PostgresApiKeys


class KeyNotFoundError(LookupError):
    """There is no such key; the text says which."""


async def create(options: argparse.Namespace) -> int:
    """Prints `{"id", "key"}` as one JSON line; the key is shown this once."""
    principal = Principal(
        name=options.name,
        tenants=None if options.all_tenants else frozenset(_tenants(options.tenant)),
        scopes=frozenset(Scope(name) for name in options.scope),
    )
    key = ApiKey.generate()
    async with _keys(options) as keys:
        await keys.store(key.key_id, StoredKey(key.secret_digest, principal))
    _show(key)
    return 0


async def list_all(options: argparse.Namespace) -> int:
    """Prints one JSON line per key, the oldest first, and nothing that gives access."""
    async with _keys(options) as keys:
        found = await keys.list()
    for key in found:
        print(json.dumps(_line(key)))
    return 0


async def revoke(options: argparse.Namespace) -> int:
    """Ends a key; one that has ended already stays so."""
    async with _keys(options) as keys:
        if not await keys.revoke(options.id):
            raise KeyNotFoundError(f"there is no key {options.id!r}")
    return 0


async def rotate(options: argparse.Namespace) -> int:
    """Prints a new key for the same principal, as `create` does, and ends the old one."""
    key, overlap = ApiKey.generate(), timedelta(seconds=options.overlap)
    async with _keys(options) as keys:
        if not await keys.rotate(options.id, key.key_id, key.secret_digest, overlap):
            raise KeyNotFoundError(f"there is no key {options.id!r}, or it was revoked")
    _show(key)
    return 0


@asynccontextmanager
async def _keys(options: argparse.Namespace) -> AsyncIterator[PostgresApiKeys]:
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
        "revoke_time": key.revoke_time and _text(key.revoke_time),
    }


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _tenants(names: list[str]) -> list[str]:
    validator = Validator()
    tenants = [inputs.tenant_id(validator, name, "--tenant") for name in names]
    validator.raise_if_invalid()
    return tenants
