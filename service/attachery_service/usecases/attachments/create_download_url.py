"""CreateDownloadUrl: a signed GET of exactly the verified bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from attachery_service.domain import inputs
from attachery_service.domain.content_disposition import content_disposition
from attachery_service.domain.content_types import OPAQUE, safe_to_serve
from attachery_service.domain.errors import ObjectChanged, ObjectMissing
from attachery_service.domain.sessions import Disposition, SealedObject, UploadSession
from attachery_service.domain.transfers import DownloadUrl
from attachery_service.ports.objects import ObjectStore
from attachery_service.ports.sessions import SessionStore
from attachery_service.ports.signing import TargetSigner
from attachery_service.usecases.uploads.lookup import find, read_ref

DEFAULT_TTL = timedelta(minutes=15)
MIN_TTL = timedelta(seconds=1)
MAX_TTL = timedelta(days=7)  # the most SigV4 can sign


@dataclass(frozen=True, slots=True)
class CreateDownloadUrl:
    """Looks at the object before it signs: a URL to other bytes is worse than none."""

    sessions: SessionStore
    objects: ObjectStore
    signer: TargetSigner

    async def __call__(
        self, tenant_id: str, attachment_id: str, ttl: timedelta | None, disposition: str
    ) -> tuple[UploadSession, DownloadUrl]:
        """Raises InvalidRequest, AttachmentNotFound, UploadNotReady and the errors of dead ends,
        ObjectPurged, ObjectMissing, ObjectChanged, Unavailable, StorageMisconfigured.
        """
        reader = inputs.Reader()
        ref = read_ref(reader, tenant_id, attachment_id)
        lifetime = read_ttl(reader, "ttl", "INVALID_TTL", ttl)
        shown = reader.take("disposition", "INVALID_DISPOSITION", inputs.disposition, disposition)
        reader.done()
        session = (await find(self.sessions, ref)).session
        await self._require_unchanged(session.require_bytes())
        return session, await sign_download(self.signer, session, lifetime, shown)

    async def _require_unchanged(self, sealed: SealedObject) -> None:
        stored = await self.objects.describe(sealed.key)
        if stored is None:
            raise ObjectMissing
        if stored.etag != sealed.etag:
            raise ObjectChanged


def read_ttl(reader: inputs.Reader, field: str, reason: str, ttl: timedelta | None) -> timedelta:
    rule = inputs.duration_between(MIN_TTL, MAX_TTL)
    return reader.take(field, reason, rule, ttl) or DEFAULT_TTL


async def sign_download(
    signer: TargetSigner,
    session: UploadSession,
    lifetime: timedelta,
    disposition: Disposition | None = None,
) -> DownloadUrl:
    """A GET that lives no longer than the bytes, and that no browser runs anything from."""
    declared = session.declaration
    inline = disposition is Disposition.INLINE
    served = safe_to_serve(declared.content_type, inline=inline)
    shown = Disposition.INLINE if inline and served != OPAQUE else Disposition.ATTACHMENT
    return await signer.sign_download(
        session.require_bytes(),
        min(lifetime, session.object_purge_time - session.read_time),
        served,
        content_disposition(shown, declared.filename),
    )
