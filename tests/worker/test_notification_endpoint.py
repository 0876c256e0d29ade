"""A worker accepts notifications at the address, and from the senders, of its settings."""

from __future__ import annotations

import asyncio
import socket

import pytest
from pydantic import SecretStr

from attachery.v1.resources_pb2 import UPLOAD_SESSION_STATE_READY as READY
from attachery_service.app.worker import open_worker
from support.process_fixtures import BODY, RunHere, ServeSettings
from support.service_fixtures import ServiceUnderTest

LOOPBACK = "127.0.0.1:0"
TOKEN = "a-token-that-nobody-guesses"


async def test_a_worker_completes_notified_uploads(
    service: ServiceUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    started = await service.start(size_bytes=len(BODY), auto_complete=True)
    assert await service.send(started.target, BODY) == 200
    attachment_id = started.session.attachment_id
    key = await service.database.fetchval(
        "SELECT upload_key FROM upload_sessions WHERE attachment_id = $1", attachment_id
    )
    event = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": service.bucket}, "object": {"key": key}},
    }
    settings = service.settings.model_copy(
        update={
            "notifications_listen": LOOPBACK,
            "notifications_token": SecretStr(TOKEN),
            "worker_metrics_listen": LOOPBACK,
        }
    )
    async with open_worker(settings) as worker:
        url = f"http://{worker.notifications_listen}/notifications"
        for token, status in (("another", 403), (TOKEN, 200)):
            headers = {"Authorization": f"Bearer {token}"}
            message = {"Records": [event]}
            async with service.http.post(url, json=message, headers=headers) as answer:
                assert answer.status == status
        async with asyncio.timeout(15):
            while (await service.get(attachment_id)).state != READY:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with service.http.get(f"http://{worker.metrics_listen}/metrics") as answer:
            metrics = await answer.text()

    assert 'attachery_notifications_total{outcome="forbidden"} 1.0' in metrics
    assert TOKEN not in capsys.readouterr().err


async def test_an_unusable_address_is_reported(service: ServiceUnderTest) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        settings = service.settings.model_copy(update={"notifications_listen": taken})
        with pytest.raises(OSError, match=f"cannot accept notifications on {taken}: "):
            async with open_worker(settings):
                pass


async def test_a_token_without_a_door_is_refused(
    run_here: RunHere, serve_settings: ServeSettings
) -> None:
    done = await run_here("worker", settings={**serve_settings, "notifications_token": "s3cret"})
    line = done.refused_with(2)
    assert "ATTACHERY_NOTIFICATIONS_TOKEN needs ATTACHERY_NOTIFICATIONS_LISTEN" in line
    assert "s3cret" not in line
