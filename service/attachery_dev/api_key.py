"""The stable API key of a data folder."""

from __future__ import annotations

from pathlib import Path

from attachery_service.app.options import database_options
from attachery_service.domain.credentials import ApiKey, StoredKey
from attachery_service.domain.identity import ALL_SCOPES, Principal
from attachery_service.postgres.database import open_database
from attachery_service.postgres.repositories.api_keys import PostgresApiKeys
from attachery_service.settings.service import Settings

TENANT = "demo"


def stable_key(path: Path) -> ApiKey:
    """Read the key of the folder, or create it with access for its owner only."""
    known = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
    if key := ApiKey.parse(known.strip()):
        return key
    key = ApiKey.generate()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(key.text + "\n", encoding="ascii")
    return key


async def store_key(settings: Settings, key: ApiKey) -> None:
    """Store the key for a principal with all scopes on the tenant `demo`."""
    principal = Principal(name="dev", tenants=frozenset({TENANT}), scopes=ALL_SCOPES)
    async with open_database(database_options(settings)) as database:
        await PostgresApiKeys(database).store(key.key_id, StoredKey(key.secret_digest, principal))
