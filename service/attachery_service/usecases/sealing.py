"""Sealing: putting verified bytes out of reach of every URL ever handed out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.sessions import Seal, SealedObject, UploadSession
from attachery_service.ports import ObjectStore, PreconditionChanged, TargetSigner


@dataclass(frozen=True, slots=True)
class Sealing:
    """Seals as the session was started to be sealed."""

    objects: ObjectStore
    signer: TargetSigner

    async def __call__(self, session: UploadSession, verified: StoredObject) -> SealedObject:
        """Raises PreconditionChanged if the object is no longer the verified one."""
        match session.seal:
            case Seal.WRITE_ONCE:
                # The only URL that knows this key cannot replace what is there.
                return SealedObject(verified.key, verified.etag)
            case Seal.COPY:
                return await self._copy(session, verified)
            case _:
                assert_never(session.seal)

    async def _copy(self, session: UploadSession, verified: StoredObject) -> SealedObject:
        # A key of its own for each attempt: of two that race, neither can touch the other's copy.
        key = self.signer.new_key(session.tenant_id, session.attachment_id)
        await self.objects.copy(verified, key, session.declaration.content_type)
        copied = await self.objects.describe(key)
        if copied is None or not _same_bytes(verified, copied):
            await self.objects.delete(key)
            raise PreconditionChanged
        return SealedObject(key, copied.etag)


def _same_bytes(one: StoredObject, other: StoredObject) -> bool:
    comparable = one.etag_is_md5 and other.etag_is_md5
    return one.size == other.size and (not comparable or one.etag == other.etag)
