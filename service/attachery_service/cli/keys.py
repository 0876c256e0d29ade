"""`attachery keys`: API keys, of which only a digest is kept."""

from __future__ import annotations

import argparse
import json

from attachery_service.app import database_options
from attachery_service.cli.ready_file import settings_of
from attachery_service.domain import inputs
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import Principal, Scope
from attachery_service.ports import StoredKey
from attachery_service.store.database import open_database
from attachery_service.store.keys import PostgresApiKeys
from attachery_service.store.migrating import require_schema


async def create(options: argparse.Namespace) -> int:
    """Prints `{"id", "key"}` as one JSON line; the key is shown this once."""
    principal = Principal(
        name=options.name,
        tenants=None if options.all_tenants else frozenset(_tenants(options.tenant)),
        scopes=frozenset(Scope(name) for name in options.scope),
    )
    key = ApiKey.generate()
    async with open_database(database_options(settings_of(options.ready_file))) as database:
        await require_schema(database)
        await PostgresApiKeys(database).store(key.key_id, StoredKey(key.secret_digest, principal))
    print(json.dumps({"id": key.key_id, "key": key.text}))
    return 0


def _tenants(names: list[str]) -> list[str]:
    reader = inputs.Reader()
    tenants = [reader.take("--tenant", "INVALID_TENANT_ID", inputs.tenant_id, n) for n in names]
    reader.done()
    return tenants
