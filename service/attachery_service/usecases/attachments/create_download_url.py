"""CreateDownloadUrl: a presigned GET of exactly the verified bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from msgspec import Struct

from attachery_service.domain.content_disposition import content_disposition
from attachery_service.domain.content_types import OPAQUE, safe_to_serve
from attachery_service.domain.declarations import Disposition
from attachery_service.domain.errors import ObjectChanged, ObjectMissing
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import ReadySession, SealedObject, require_bytes
from attachery_service.domain.transfers import DownloadUrl
from attachery_service.ports.objects import ObjectStore
from attachery_service.ports.sessions import SessionStore
from attachery_service.ports.signing import TargetSigner
from attachery_service.usecases.uploads.lookup import AttachmentRef, find_attachment


class DownloadCommand(Struct, frozen=True):
    """A validated CreateDownloadUrl request."""

    ref: AttachmentRef
    lifetime: timedelta
    disposition: Disposition | None


@dataclass(frozen=True, slots=True)
class CreateDownloadUrl:
    """Checks the object before it signs, since a URL of other bytes is worse than an error."""

    sessions: SessionStore
    objects: ObjectStore
    signer: TargetSigner

    async def __call__(
        self, principal: Principal, command: DownloadCommand
    ) -> tuple[ReadySession, DownloadUrl]:
        """Signs a URL for a READY attachment.

        Raises AttachmentNotFound, UploadNotReady and the errors of closed sessions, ObjectPurged,
        ObjectMissing, ObjectChanged, Unavailable, StorageMisconfigured.
        """
        session = require_bytes(await find_attachment(self.sessions, command.ref, principal))
        await self._require_unchanged(session.sealed)
        download = await sign_download(self.signer, session, command.lifetime, command.disposition)
        return session, download

    async def _require_unchanged(self, sealed: SealedObject) -> None:
        stored = await self.objects.head(sealed.key)
        if stored is None:
            raise ObjectMissing
        if stored.etag != sealed.etag:
            raise ObjectChanged


async def sign_download(
    signer: TargetSigner,
    session: ReadySession,
    lifetime: timedelta,
    disposition: Disposition | None = None,
) -> DownloadUrl:
    """Signs a GET that ends with the bytes, and whose response no browser executes."""
    declared = session.declaration
    inline = disposition is Disposition.INLINE
    served = safe_to_serve(declared.content_type, inline=inline)
    shown = Disposition.INLINE if inline and served != OPAQUE else Disposition.ATTACHMENT
    return await signer.sign_download(
        session.sealed,
        min(lifetime, session.object_purge_time - session.read_time),
        served,
        content_disposition(shown, declared.filename),
    )
