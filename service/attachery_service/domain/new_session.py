"""New sessions, before the database stores them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.declarations import Declaration
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.policy import Policy
from attachery_service.domain.sessions import Seal


class StartCommand(Struct, frozen=True, kw_only=True):
    """A validated StartUploadSession request.

    The session ends at `expire_time` if given, else after `ttl`; either way within the limits of
    its policy, counted from the database's clock.
    """

    tenant_id: str
    request: RequestKey | None
    declaration: Declaration
    purpose: str
    policy: Policy
    ttl: timedelta
    expire_time: datetime | None
    object_retention: timedelta
    metadata_retention: timedelta
    auto_complete: bool
    validate_only: bool


class NewSession(Struct, frozen=True, kw_only=True):
    """A session about to be stored: the command, and its place in object storage.

    `subject`: of the connection token that starts it.
    """

    command: StartCommand
    attachment_id: UUID
    upload_key: str
    seal: Seal
    created_by: str
    subject: str | None

    @property
    def reserved(self) -> int:
        """The bytes that count against the quota: the declared size, else the policy's maximum."""
        declared = self.command.declaration.size
        return self.command.policy.max_size if declared is None else declared
