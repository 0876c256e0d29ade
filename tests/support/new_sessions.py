"""Sessions about to be stored, for tests below the interface."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from attachery_service.domain.checksums import Checksums
from attachery_service.domain.declarations import Declaration, Disposition
from attachery_service.domain.new_session import NewSession, StartCommand
from attachery_service.domain.policy import Policy
from attachery_service.domain.sessions import Seal

HOUR = timedelta(hours=1)


def new_session(
    size: int | None, *, tenant_id: str = "acme", purpose: str = "default", policy: Policy
) -> NewSession:
    command = StartCommand(
        tenant_id=tenant_id,
        request=None,
        declaration=Declaration(
            filename="a",
            content_type="text/plain",
            size=size,
            checksums=Checksums(),
            content_id=None,
            disposition=Disposition.ATTACHMENT,
            is_inline=False,
            metadata={},
        ),
        purpose=purpose,
        policy=policy,
        ttl=HOUR,
        expire_time=None,
        object_retention=HOUR,
        metadata_retention=HOUR,
        auto_complete=False,
        validate_only=False,
    )
    return NewSession(
        command=command,
        attachment_id=uuid4(),
        upload_key="k",
        seal=Seal.COPY,
        created_by="tester",
        subject=None,
    )
