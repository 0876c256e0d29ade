"""StartUploadSession: a PENDING session and a signed target for its bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from attachery_service.domain import inputs
from attachery_service.domain.checksums import Algorithm
from attachery_service.domain.errors import Violation
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, RequestKey, request_key
from attachery_service.domain.identity import Principal
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.quota import Quotas
from attachery_service.domain.sessions import (
    Declaration,
    Disposition,
    NewSession,
    Seal,
    SessionState,
    UploadSession,
)
from attachery_service.domain.transfers import TargetRequest, UploadTarget
from attachery_service.ports.sessions import SessionStore
from attachery_service.ports.signing import TargetSigner
from attachery_service.usecases.identity.session_tokens import SessionTokens

METHOD = "StartUploadSession"

MIN_OBJECT_RETENTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """The request as it came: nothing validated, empty text for what was not given."""

    tenant_id: str
    request_id: str
    filename: str
    content_type: str
    size: int | None
    checksums: Mapping[Algorithm, str]
    content_id: str
    disposition: str
    is_inline: bool | None
    purpose: str
    metadata: Mapping[str, str]
    ttl: timedelta | None
    expire_time: datetime | None
    object_retention: timedelta | None
    metadata_retention: timedelta | None
    auto_complete: bool
    validate_only: bool


@dataclass(frozen=True, slots=True)
class Started:
    """The session; its target and token unless there is nothing to upload to."""

    session: UploadSession
    target: UploadTarget | None
    session_token: str | None


@dataclass(frozen=True, slots=True)
class StartUploadSession:
    """`put_seal` is how a PUT can be sealed on this store; a form always needs the copy."""

    sessions: SessionStore
    signer: TargetSigner
    policies: Mapping[str, Policy]
    quotas: Quotas
    put_seal: Seal
    new_id: Callable[[], UUID]
    tokens: SessionTokens

    async def __call__(self, principal: Principal, request: StartRequest) -> Started:
        """Raises InvalidRequest, RequestIdReused, ResourceExhausted, DatabaseUnavailable,
        StorageMisconfigured.
        """
        new, request_id = self._read(principal, request)
        key = None if request.validate_only else _request_key(request_id, request, new)
        limits = self.quotas.of(new.tenant_id)
        found = await self.sessions.start(new, key, limits, dry_run=request.validate_only)
        if found is None:
            raise inputs.invalid([_deadline_out_of_range(self.policies[new.purpose])])
        if key is not None and found.replayed_outcome is not None:
            found.replayed_outcome.require_same_payload(key)
        if request.validate_only or found.session.state is not SessionState.PENDING:
            return Started(found.session, target=None, session_token=None)
        min_size = self.policies[new.purpose].min_size
        target = await self.signer.sign_upload(_target(found.session, min_size))
        return Started(found.session, target, await self.tokens.issue(found.session))

    def _read(self, principal: Principal, request: StartRequest) -> tuple[NewSession, str | None]:
        reader = inputs.Reader()
        take = reader.take
        tenant_id = take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, request.tenant_id)
        request_id = take("request_id", "INVALID_REQUEST_ID", inputs.request_id, request.request_id)
        # An unknown purpose is refused in its turn; until then the default's limits hold.
        policy = self.policies.get(request.purpose) or self.policies[DEFAULT_PURPOSE]
        described = _read_description(reader, request, policy)
        purpose_rule = inputs.purpose(self.policies)
        purpose = take("purpose", "INVALID_PURPOSE", purpose_rule, request.purpose)
        metadata = take("metadata", "INVALID_METADATA", inputs.metadata, request.metadata)
        ttl = _read_ttl(reader, request, policy)
        kept, remembered = _read_retention(reader, request, policy)
        reader.done()
        attachment_id = self.new_id()
        return NewSession(
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            declaration=replace(described, metadata=metadata),
            purpose=purpose,
            max_size=policy.max_size,
            seal=self._seal(described, policy),
            upload_key=self.signer.new_key(tenant_id, attachment_id),
            ttl=ttl or policy.default_ttl,
            expire_time=request.expire_time,
            min_ttl=policy.min_ttl,
            max_ttl=policy.max_ttl,
            object_retention=kept or policy.object_retention,
            metadata_retention=remembered or policy.metadata_retention,
            auto_complete=request.auto_complete,
            created_by=principal.name,
        ), request_id

    def _seal(self, described: Declaration, policy: Policy) -> Seal:
        # What may be uploaded again after a mismatch must not be written once only.
        if described.size is None or not policy.terminal_on_mismatch:
            return Seal.COPY
        return self.put_seal


def _read_type(reader: inputs.Reader, request: StartRequest, policy: Policy) -> str:
    given = reader.take(
        "content_type", "INVALID_CONTENT_TYPE", inputs.content_type, request.content_type
    )
    rule = inputs.allowed_content_type(policy)
    return given and reader.take("content_type", "CONTENT_TYPE_NOT_ALLOWED", rule, given)


def _require_declared(reader: inputs.Reader, request: StartRequest, policy: Policy) -> None:
    if policy.size_required and request.size is None:
        reader.refuse("size_bytes", "SIZE_REQUIRED", "must be declared for this purpose")
    if policy.checksum_required and not any(request.checksums.values()):
        reader.refuse("checksums", "CHECKSUM_REQUIRED", "must hold one for this purpose")


def _request_key(
    request_id: str | None, request: StartRequest, new: NewSession
) -> RequestKey | None:
    if request_id is None:
        return None
    told = asdict(new.declaration) | {"checksums": new.declaration.checksums.known()}
    inline = request.is_inline
    asked = {
        # As given, which may be False: what follows from the rest is no part of the payload.
        "is_inline": None if inline is None else str(inline),
        "purpose": new.purpose,
        "ttl": request.ttl,
        "expire_time": request.expire_time,
        "object_retention": request.object_retention,
        "metadata_retention": request.metadata_retention,
        "auto_complete": request.auto_complete,
    }
    return request_key(METHOD, request_id, told | asked)


def _read_description(reader: inputs.Reader, request: StartRequest, policy: Policy) -> Declaration:
    """All of the declaration but its metadata."""
    take = reader.take
    filename = take("filename", "INVALID_FILENAME", inputs.filename, request.filename)
    content_type = _read_type(reader, request, policy)
    _require_declared(reader, request, policy)
    size = inputs.size(reader, request.size, policy.max_size, min_size=policy.min_size)
    checksums = inputs.checksums(reader, "checksums", request.checksums)
    content_id = take("content_id", "INVALID_CONTENT_ID", inputs.content_id, request.content_id)
    disposition = take(
        "disposition", "INVALID_DISPOSITION", inputs.disposition, request.disposition
    )
    shown = disposition or (Disposition.INLINE if content_id else Disposition.ATTACHMENT)
    inline = shown is Disposition.INLINE if request.is_inline is None else request.is_inline
    return Declaration(
        filename=filename,
        content_type=content_type,
        size=size,
        checksums=checksums,
        content_id=content_id,
        disposition=shown,
        is_inline=inline,
        metadata={},
    )


def _read_ttl(reader: inputs.Reader, request: StartRequest, policy: Policy) -> timedelta | None:
    if request.ttl is not None and request.expire_time is not None:
        reader.refuse("ttl", "INVALID_TTL", "must not be given together with expire_time")
    rule = inputs.duration_between(policy.min_ttl, policy.max_ttl)
    return reader.take("ttl", "INVALID_TTL", rule, request.ttl)


def _read_retention(
    reader: inputs.Reader, request: StartRequest, policy: Policy
) -> tuple[timedelta | None, timedelta | None]:
    """Of the bytes, and of the row."""
    bytes_rule = inputs.duration_between(MIN_OBJECT_RETENTION, policy.max_object_retention)
    row_rule = inputs.duration_between(REQUEST_ID_LIFETIME, policy.max_metadata_retention)
    return (
        reader.take(
            "object_retention", "INVALID_OBJECT_RETENTION", bytes_rule, request.object_retention
        ),
        reader.take(
            "metadata_retention", "INVALID_METADATA_RETENTION", row_rule, request.metadata_retention
        ),
    )


def _deadline_out_of_range(policy: Policy) -> Violation:
    least, most = policy.min_ttl.total_seconds(), policy.max_ttl.total_seconds()
    rule = f"must be {least:.0f} s to {most:.0f} s from now"
    return Violation("expire_time", "INVALID_EXPIRE_TIME", rule)


def _target(session: UploadSession, min_size: int) -> TargetRequest:
    return TargetRequest(
        key=session.upload_key,
        content_type=session.declaration.content_type,
        size=session.declaration.size,
        min_size=min_size,
        max_size=session.max_size,
        checksums=session.declaration.checksums,
        write_once=session.seal is Seal.WRITE_ONCE,
        lifetime=session.time_left,
    )
