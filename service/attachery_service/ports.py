"""What the use cases need of the world outside, in the domain's words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from attachery_service.domain.audit import AuditedSession, ListedObject
from attachery_service.domain.checks import Check, StoredObject, TypeEvidence
from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.errors import AttacheryError, VerificationFailed
from attachery_service.domain.holds import Hold, NewHold
from attachery_service.domain.idempotency import Outcome, RequestKey
from attachery_service.domain.identity import Principal
from attachery_service.domain.pages import Place
from attachery_service.domain.quota import Limits, Usage
from attachery_service.domain.rates import Allowance, Category
from attachery_service.domain.session_tokens import TokenKey
from attachery_service.domain.sessions import (
    Failure,
    NewSession,
    SealedObject,
    SessionFilter,
    UploadSession,
)
from attachery_service.domain.sweeping import SweptSession


@dataclass(frozen=True, slots=True)
class Found:
    """A session as read, and what the request id at hand came to before, if anything."""

    session: UploadSession
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a verified and sealed upload adds to its session. Size in bytes.

    `is_claimable`: the service completes it by itself, so the uploader's Complete may still come.
    """

    sealed: SealedObject
    size: int
    checksums: Checksums
    detected_content_type: str | None
    checks: tuple[Check, ...]
    is_claimable: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """The uploader's Complete of a session that the service has made READY.

    `checksums`: digests that it computed. `mismatch`: what it is answered with, if a check failed;
    the session stays READY.
    """

    checks: tuple[Check, ...]
    checksums: Checksums
    mismatch: VerificationFailed | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """How an upload that failed verification ends its session."""

    failure: Failure
    checks: tuple[Check, ...]


class SessionStore(Protocol):
    """Sessions at rest. Every method is one statement; Start needs more for a replay, a tenant's
    first session, and where quotas are short.

    All raise DatabaseUnavailable. `actor` is the principal's name, for the history.
    """

    async def start(
        self, new: NewSession, request: RequestKey | None, limits: Limits, *, rehearsal: bool
    ) -> Found | None:
        """Stores a PENDING session and books it, or finds the one this request id has started
        before, for which there is room already.

        `outcome` tells which: None for a new one. None: the deadline asked for is out of range. In
        a rehearsal nothing stays. Raises ResourceExhausted if the tenant would exceed its limits.
        """

    async def find(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None = None
    ) -> Found | None:
        """The session with its deadline applied; None if the tenant has none of this id."""

    async def complete(
        self, pending: UploadSession, completion: Completion, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        """PENDING and in time → READY; None if it was neither."""

    async def claim(
        self, ready: UploadSession, claim: Claim, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        """Stores the outcome of the uploader's Complete; None if there was one before."""

    async def fail(
        self,
        pending: UploadSession,
        rejection: Rejection,
        request: RequestKey | None,
        actor: str,
    ) -> UploadSession | None:
        """PENDING and in time → FAILED; None if it was neither."""

    async def cancel(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        """PENDING and in time → CANCELLED; None if it was neither."""

    async def delete(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        force: bool,
    ) -> UploadSession | None:
        """READY → DELETED; None if it was not READY, or held and not `force`."""

    async def page(
        self, tenant_id: str, wanted: SessionFilter, after: Place | None, limit: int
    ) -> Sequence[UploadSession]:
        """The newest of those wanted that come after a place, deadlines applied."""

    async def resolve(
        self, tenant_id: str, attachment_ids: Sequence[UUID]
    ) -> Mapping[UUID, UploadSession]:
        """Those of the sessions that exist in the tenant."""


@dataclass(frozen=True, slots=True)
class FoundBatch:
    """Sessions by id as read, and `outcome`: the batch's request id was used before."""

    sessions: Mapping[UUID, Found]
    outcome: Outcome | None


class BatchStore(Protocol):
    """Many sessions of a tenant at once. Every method is one statement.

    Both raise DatabaseUnavailable. A batch's request id stands for the batch, and with an
    attachment's id for what became of that one.
    """

    async def find(
        self, tenant_id: str, attachment_ids: Sequence[UUID], request: RequestKey | None
    ) -> FoundBatch:
        """Those that exist, their deadlines applied."""

    async def end(
        self,
        tenant_id: str,
        endings: Mapping[UUID, Completion | Rejection | Claim],
        request: RequestKey | None,
        actor: str,
        *,
        atomic: bool,
    ) -> Mapping[UUID, UploadSession]:
        """PENDING and in time → READY or FAILED, READY by the service → claimed: those that
        changed.

        `atomic`: all or none. None changes if the request id is taken by another batch.
        """


class SweepStore(Protocol):
    """What time does to sessions at rest. All raise DatabaseUnavailable."""

    async def sweep(self, limit: int) -> Sequence[SweptSession]:
        """Changes up to so many of the sessions that are due, the longest due first."""

    async def confirm_disposal(self, disposed: Sequence[SweptSession]) -> None:
        """Their dead objects are deleted. One that has changed since it was swept stays due."""

    async def drop_old(self, limit: int) -> bool:
        """Forgets up to so many request ids and holds that count no more; whether there may be
        others."""


@dataclass(frozen=True, slots=True)
class Held:
    """Sessions by id as read, and the hold on those whose bytes can be used; None if none is."""

    sessions: Mapping[UUID, UploadSession]
    hold: Hold | None


class HoldStore(Protocol):
    """Holds at rest. All raise DatabaseUnavailable."""

    async def take(
        self, new: NewHold, attachment_ids: Sequence[UUID], *, all_or_nothing: bool
    ) -> Held:
        """Those of the sessions that exist in the tenant, held in the moment they are read. The ids
        are distinct; one statement, but for two calls of one owner at the same time.

        `all_or_nothing`: none is held unless the bytes of all can be used. Raises InvalidRequest if
        the owner's hold would get too large.
        """

    async def extend(self, tenant_id: str, hold_id: UUID, ttl: timedelta) -> Hold | None:
        """The hold, with `ttl` left at least unless it has ended; None if the tenant has none of
        this id."""

    async def release(
        self,
        tenant_id: str,
        hold_id: UUID,
        actor: str,
        *,
        consumed: bool,
        perishable: Collection[str],
    ) -> Hold | None:
        """The hold, released now unless it was before; None if the tenant has none of this id.

        Of what was `consumed`, READY → DELETED where the purpose is `perishable` and no other hold
        is left.
        """


class TenantUsage(Protocol):
    """What tenants use. Raises DatabaseUnavailable."""

    async def of(self, tenant_id: str) -> Usage:
        """Exact at the time of reading; nothing for a tenant that was never seen."""


class PreconditionChanged(Exception):
    """The object is not, or no longer, the one the call was meant for."""


class UnreadableObject(Exception):
    """The bytes cannot be read because of a header that the uploader sent with them."""

    def __init__(self, upload_header: str) -> None:
        super().__init__(upload_header)
        self.upload_header = upload_header


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRequest:
    """What an upload target must enforce.

    `size` None: any from `min_size` to `max_size`, as a form. Sizes in bytes.
    """

    key: str
    content_type: str
    size: int | None
    max_size: int
    min_size: int = 1
    checksums: Checksums
    write_once: bool
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTarget:
    """An HTTP request for the uploader to follow. `lifetime` may be shorter than was asked for,
    when the credentials that sign it end before."""

    method: str
    url: str
    headers: Mapping[str, str]
    form_fields: Mapping[str, str]
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadUrl:
    """A signed GET. `lifetime` may be shorter than was asked for, as with targets."""

    url: str
    lifetime: timedelta


class TargetSigner(Protocol):
    """Makes URLs that carry their own permission. All raise StorageMisconfigured."""

    def new_key(self, tenant_id: str, attachment_id: UUID) -> str:
        """A key that was never used before."""

    async def sign_upload(self, request: TargetRequest) -> UploadTarget:
        """A target that lets through only what `request` describes."""

    async def sign_download(
        self, sealed: SealedObject, lifetime: timedelta, content_type: str, disposition: str
    ) -> DownloadUrl:
        """A GET of this object that answers with this Content-Type and Content-Disposition."""


class ObjectReads(Protocol):
    """Reads of objects by key. All raise StorageUnavailable or StorageMisconfigured."""

    async def describe(self, key: str) -> StoredObject | None:
        """What object storage says of an object; None if there is none."""

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        """The first `count` bytes, fewer if there are fewer.

        Raises PreconditionChanged, UnreadableObject.
        """

    async def digest(self, source: StoredObject, algorithms: Sequence[Algorithm]) -> Checksums:
        """Reads the whole object in constant memory.

        Raises PreconditionChanged, UnreadableObject.
        """


class ObjectStore(ObjectReads, Protocol):
    """Objects by key. All raise StorageUnavailable or StorageMisconfigured."""

    async def copy(self, source: StoredObject, key: str, content_type: str) -> None:
        """Copies within the store.

        Raises PreconditionChanged if the source is not `source`, UnreadableObject.
        """

    async def delete(self, key: str) -> None:
        """Deletes an object; one that is not there is no error."""

    async def delete_many(self, keys: Sequence[str]) -> Mapping[str, AttacheryError]:
        """Deletes objects; those that may still be there, each with what went wrong."""


class AuditStore(Protocol):
    """What audits read. Every method is one statement. All raise DatabaseUnavailable."""

    async def sessions(
        self, tenant_id: str, after: UUID | None, limit: int
    ) -> Sequence[AuditedSession]:
        """The next after an id, in the order of their ids; of all that are stored."""

    async def again(
        self, tenant_id: str, attachment_ids: Collection[UUID]
    ) -> Mapping[UUID, AuditedSession]:
        """Those that exist, as they are now."""

    async def usage(self, tenant_id: str) -> tuple[Usage, Usage]:
        """As counted, and as its sessions add up to at the same moment."""


class AuditRepairs(Protocol):
    """What may be put right. All raise DatabaseUnavailable."""

    async def make_due(self, tenant_id: str, attachment_id: UUID) -> None:
        """Has the sweep look at a session now."""

    async def recompute_hold(self, tenant_id: str, attachment_id: UUID) -> None:
        """Makes a session say of its holds what they say."""

    async def recount_usage(self, tenant_id: str) -> None:
        """Makes a tenant's counters what its sessions add up to, while others go on booking."""


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """Some objects in the order of their keys, and whether there may be more."""

    objects: Sequence[ListedObject]
    more: bool


class ObjectListing(Protocol):
    """What is in storage. Raises StorageUnavailable or StorageMisconfigured."""

    async def objects(self, tenant_id: str, after: str) -> ObjectPage:
        """The next of a tenant after a path, in the order of their keys."""

    async def keys_of(self, tenant_id: str, attachment_id: UUID) -> Sequence[str]:
        """Whatever is there of one session, a thousand objects at most."""


class TypeComparison(Protocol):
    """Compares a declared type with the first bytes of a file."""

    def __call__(self, declared: str, first_bytes: bytes) -> TypeEvidence:
        """Whether they show the declared type, and which they show. Never raises."""


class RateLimiter(Protocol):
    """Says whether a caller may make one more call."""

    async def hit(
        self, principal: Principal, tenant_id: str, category: Category
    ) -> Allowance | None:
        """Counts a call, unless it is refused; None where there is no limit. Never fails."""


class ApiKeys(Protocol):
    """Credentials at rest. Raises DatabaseUnavailable."""

    async def find(self, key_id: str) -> StoredKey | None:
        """A key that was not revoked; None if there is none of this id."""


class TokenVerifier(Protocol):
    """Tells who somebody else's tokens stand for."""

    async def __call__(self, token: str) -> Principal:
        """Raises CredentialsInvalid, the same for every cause."""


class TokenKeys(Protocol):
    """What session tokens are signed with. All raise DatabaseUnavailable."""

    async def newest(self) -> TokenKey | None:
        """The key to sign with; None if every one was revoked."""

    async def find(self, key_id: str) -> TimedKey | None:
        """A key that was not revoked; None if there is none of this id."""


@dataclass(frozen=True, slots=True)
class TimedKey:
    """A key, and what time it is by the database's clock."""

    key: TokenKey
    time: datetime


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key at rest: the SHA-256 of its secret and who it stands for."""

    secret_digest: bytes
    principal: Principal
