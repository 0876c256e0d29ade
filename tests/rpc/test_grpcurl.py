"""The service through grpcurl, with its address and a key only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.access_rules import RULES
from support.process_fixtures import BODY, Dev

pytestmark = pytest.mark.xdist_group("dev")  # they share one server

GRPCURL = Path(sys.executable).with_name("grpcurl")
UPLOADS = "attachery.v1.UploadSessionService"
ATTACHMENTS = "attachery.v1.AttachmentService"
ADMIN = "attachery.v1.AdminService"
ACCESS = "attachery.v1.AccessService"
HEALTH = "grpc.health.v1.Health"
TENANT = "demo"


def grpcurl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRPCURL, "-plaintext", *arguments], capture_output=True, text=True, check=False
    )


def said(dev: Dev, *arguments: str) -> str:
    done = grpcurl(dev.listen, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Caller:
    """Calls methods with JSON and records them."""

    def __init__(self, dev: Dev) -> None:
        self._dev = dev
        self.called: set[str] = set()

    def call(self, method: str, **request: Any) -> dict[str, Any]:
        self.called.add(f"/{method}")
        message = json.dumps(request)
        done = grpcurl("-H", self._dev.bearer, "-d", message, self._dev.listen, method)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


async def test_every_method_can_be_called_with_the_contract_it_brings(dev: Dev) -> None:
    caller = Caller(dev)
    file = {"filename": "a.txt", "content_type": "text/plain", "size_bytes": str(len(BODY))}
    unwanted = caller.call(f"{UPLOADS}/StartUploadSession", **file)["session"]["attachment_id"]
    cancelled = caller.call(f"{UPLOADS}/CancelUploadSession", attachment_id=unwanted)
    assert cancelled["session"]["state"] == "UPLOAD_SESSION_STATE_CANCELLED"

    started = caller.call(f"{UPLOADS}/StartUploadSession", **file)
    target, named = started["target"], {"attachment_id": started["session"]["attachment_id"]}
    async with aiohttp.ClientSession() as http:
        async with http.request(
            target["method"], target["url"], data=BODY, headers=target["headers"]
        ) as answer:
            assert answer.status == 200
        completed = caller.call(f"{UPLOADS}/CompleteUploadSession", **named)
        assert completed["session"]["state"] == "UPLOAD_SESSION_STATE_READY"
        assert caller.call(f"{UPLOADS}/GetUploadSession", **named)["session"]["revision"] == "2"
        batch = caller.call(f"{UPLOADS}/BatchCompleteUploadSessions", items=[named])
        assert batch["results"][0]["status"]["code"] == 9  # FAILED_PRECONDITION: it is READY
        listed = caller.call(f"{UPLOADS}/ListUploadSessions", page_size=1)["sessions"]
        assert listed[0]["attachment_id"] == named["attachment_id"]
        limits = caller.call(f"{UPLOADS}/GetUploadPolicy")
        assert limits["policy"]["purpose"] == "default"
        found = caller.call(f"{ATTACHMENTS}/GetAttachment", **named)["attachment"]
        assert found["size_bytes"] == str(len(BODY))
        resolved = caller.call(
            f"{ATTACHMENTS}/ResolveAttachments", attachment_ids=[named["attachment_id"]]
        )
        assert resolved["results"][0]["attachment"] == found
        updated = caller.call(
            f"{ATTACHMENTS}/UpdateAttachment",
            filename="b.txt",
            update_mask={"paths": ["filename"]},
            **named,
        )
        assert updated["attachment"]["filename"] == "b.txt"
        download = caller.call(f"{ATTACHMENTS}/CreateDownloadUrl", **named)
        async with http.get(download["url"]) as answer:
            assert await answer.read() == BODY
        hold = caller.call(
            f"{ATTACHMENTS}/ResolveAttachments",
            attachment_ids=[named["attachment_id"]],
            hold_ttl="60s",
        )["hold"]
        of_hold = {"hold_id": hold["hold_id"]}
        extended = caller.call(f"{ATTACHMENTS}/ExtendHold", ttl="3600s", **of_hold)["hold"]
        assert extended["expire_time"] > hold["expire_time"]
        found = caller.call(f"{ATTACHMENTS}/GetHold", **of_hold)
        assert found["attachment_ids"] == [named["attachment_id"]]
        (listed,) = caller.call(f"{ATTACHMENTS}/ListHolds", **named)["holds"]
        assert listed["hold_id"] == hold["hold_id"]
        assert "release_time" in caller.call(f"{ATTACHMENTS}/ReleaseHold", **of_hold)["hold"]
        deleted = caller.call(f"{ATTACHMENTS}/DeleteAttachment", force=True, **named)["attachment"]
        assert deleted["state"] == "UPLOAD_SESSION_STATE_DELETED"
    audited = caller.call(f"{ADMIN}/AuditAttachments", page_size=10_000)
    assert int(audited["sessions_seen"]) >= 2
    assert caller.call(f"{ACCESS}/GetCaller")["tenant_ids"] == [TENANT]
    visitor = {"subject": "visitor-1"}
    created = caller.call(f"{ACCESS}/CreateConnectionToken", purposes=["default"], **visitor)
    assert created["ttl"] == "3600s"
    assert "revoke_time" in caller.call(f"{ACCESS}/RevokeConnectionTokens", **visitor)
    assert caller.called == set(RULES)


def test_the_contract_is_listed_and_described(dev: Dev) -> None:
    assert said(dev, "list").split() == [
        ACCESS,
        ADMIN,
        ATTACHMENTS,
        UPLOADS,
        HEALTH,
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    services = (UPLOADS, ATTACHMENTS, ADMIN, ACCESS)
    methods = [method for service in services for method in said(dev, "list", service).split()]
    assert {"/" + "/".join(method.rsplit(".", 1)) for method in methods} == set(RULES)
    assert "rpc StartUploadSession" in said(dev, "describe", UPLOADS)
    assert "string tenant_id = 1;" in said(
        dev, "describe", f"{UPLOADS[:13]}StartUploadSessionRequest"
    )
    assert "message ErrorInfo" in said(dev, "describe", "google.rpc.ErrorInfo")


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("attachery.v1.ErrorReason", "ERROR_REASON_RATE_LIMITED = "),
        (f"{UPLOADS}.StartUploadSession", "rpc StartUploadSession ("),
        (f"{ATTACHMENTS}.ResolveAttachments", "rpc ResolveAttachments ("),
        ("attachery.v1.UploadSessionState", "UPLOAD_SESSION_STATE_READY = "),
        ("attachery.v1.ListUploadSessionsRequest.Filter", "message Filter {"),
        ("attachery.v1.UploadSession.filename", "string filename = "),
        ("google.rpc.BadRequest.FieldViolation", "message FieldViolation {"),
        (f"{HEALTH}.Check", "rpc Check ("),
    ],
)
def test_every_kind_of_symbol_is_described(dev: Dev, symbol: str, words: str) -> None:
    assert words in said(dev, "describe", symbol)


def test_the_details_of_a_refused_call_are_shown(dev: Dev) -> None:
    message = json.dumps({"tenant_id": TENANT, "filename": "a/b", "content_type": "text/plain"})
    method = f"{UPLOADS}/StartUploadSession"
    done = grpcurl("-H", dev.bearer, "-d", message, dev.listen, method)
    assert done.returncode != 0
    for shown in (
        "InvalidArgument",
        '"@type":"type.googleapis.com/google.rpc.ErrorInfo"',
        '"reason":"INVALID_FILENAME"',
        '"domain":"attachery"',
        '"@type":"type.googleapis.com/google.rpc.BadRequest"',
    ):
        assert shown in done.stderr
    assert '"reason":"CREDENTIALS_MISSING"' in grpcurl(dev.listen, method).stderr


def test_health_needs_no_key(dev: Dev) -> None:
    assert json.loads(said(dev, f"{HEALTH}/Check")) == {"status": "SERVING"}
    assert json.loads(said(dev, f"{HEALTH}/List"))["statuses"]["liveness"]["status"] == "SERVING"
    done = grpcurl("-d", '{"service": "nothing"}', dev.listen, f"{HEALTH}/Check")
    assert "NotFound" in done.stderr
