"""A worker's notification endpoint, and the events that object storage sends to it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import aiohttp
from prometheus_client import CollectorRegistry

from attachery_service.app.options import database_options, storage_options
from attachery_service.app.parts import Core
from attachery_service.app.worker import notified
from attachery_service.domain.object_created import NotificationOutcome
from attachery_service.observability.storage_contradictions import Disagreements
from attachery_service.postgres.database import open_database
from attachery_service.s3.client import open_storage
from attachery_service.settings.service import Settings
from attachery_service.usecases.background_tasks import BackgroundTasks
from support.service_fixtures import ServiceUnderTest

BODY = b"hello\n"


@dataclass
class Notified:
    """A worker's notification endpoint, and its metrics."""

    url: str
    registry: CollectorRegistry
    http: aiohttp.ClientSession

    async def tell(self, message: object, **headers: str) -> int:
        """Sends a message, as JSON unless it is bytes; returns the HTTP status."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        async with self.http.post(self.url, data=body, headers=headers) as answer:
            assert await answer.read() == b""
            assert "Server" not in answer.headers
            return answer.status

    def counts(self) -> Counter[str]:
        found = Counter[str]()
        for outcome in NotificationOutcome:
            labels = {"outcome": outcome.value}
            name = "attachery_notifications_total"
            found[outcome] += int(self.registry.get_sample_value(name, labels) or 0)
        return +found

    async def until(self, **counts: int) -> None:
        """Waits until the notifications have exactly these outcomes."""
        async with asyncio.timeout(15):
            while self.counts() != counts:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def endpoint_of(
    settings: Settings, http: aiohttp.ClientSession, **more: Any
) -> AsyncIterator[Notified]:
    """A worker that accepts notifications, and does not sweep."""
    chosen = settings.model_copy(update={"notifications_listen": "127.0.0.1:0", **more})
    registry, bugs = CollectorRegistry(), list[BaseException]()
    background = BackgroundTasks(bugs.append, 5.0)
    async with (
        open_database(database_options(chosen)) as database,
        open_storage(storage_options(chosen)) as storage,
        notified(
            Core(chosen, database, storage, background, registry, Disagreements(registry))
        ) as address,
    ):
        yield Notified(f"http://{address}/notifications", registry, http)
        assert await background.drain(5)
    assert not bugs


def created(bucket: str, key: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """As AWS sends it, with an encoded key."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-01-02T03:04:05.678Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AROAEXAMPLE:uploader"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURI"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "attachery",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": 6,
                "eTag": "b1946ac92492d2347c6235b4d2611184",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }


def created_at_ceph(bucket: str, key: str) -> dict[str, Any]:
    """As Ceph sends it, with the plain key."""
    return {
        "eventVersion": "2.2",
        "eventSource": "ceph:s3",
        "awsRegion": "default",
        "eventTime": "2026-11-21T14:02:05.581500Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "attachery"},
        "requestParameters": {"sourceIPAddress": ""},
        "responseElements": {"x-amz-request-id": "6b5a0afe.4113", "x-amz-id-2": "4113-default"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "attachery",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "attachery"},
                "arn": f"arn:aws:s3:default::{bucket}",
                "id": "6b5a0afe-e17d-42f7-9b5c-86124ed05525.4113.2",
            },
            "object": {
                "key": key,
                "size": 6,
                "eTag": "b1946ac92492d2347c6235b4d2611184",
                "versionId": "",
                "sequencer": "5DA4016B6F8DC922",
                "metadata": [],
                "tags": [],
            },
        },
        "eventId": "1795269725.583634.b1946ac92492d2347c6235b4d2611184",
        "opaqueData": "",
    }


def records(*events: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(events)}


async def started(
    service: ServiceUnderTest, body: bytes | None = BODY, *, auto_complete: bool = True
) -> tuple[str, str]:
    """Returns the id and the key of a session, after its upload if there is a body."""
    answer = await service.start(size_bytes=len(BODY), auto_complete=auto_complete)
    if body is not None:
        assert await service.send(answer.target, body) == 200
    attachment_id = answer.session.attachment_id
    key: str = await service.database.fetchval(
        "SELECT upload_key FROM upload_sessions WHERE attachment_id = $1", attachment_id
    )
    return attachment_id, key
