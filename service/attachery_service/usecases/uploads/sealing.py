"""Sealing: putting bytes out of reach of every URL ever handed out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.object_faults import PreconditionChanged
from attachery_service.domain.sessions import Seal, UploadSession
from attachery_service.ports.objects import ObjectStore
from attachery_service.ports.signing import TargetSigner


@dataclass(frozen=True, slots=True)
class Sealing:
    """Seals as the session was started to be sealed."""

    objects: ObjectStore
    signer: TargetSigner

    async def __call__(self, session: UploadSession, described: StoredObject) -> StoredObject:
        """The object out of reach. Raises PreconditionChanged if it is not `described` any more."""
        match session.seal:
            case Seal.WRITE_ONCE:
                # The only URL that knows this key cannot replace what is there.
                return described
            case Seal.COPY:
                return await self._copy(session, described)
            case _:
                assert_never(session.seal)

    async def _copy(self, session: UploadSession, described: StoredObject) -> StoredObject:
        # A key of its own for each attempt: of two that race, neither can touch the other's copy.
        key = self.signer.new_key(session.tenant_id, session.attachment_id)
        await self.objects.copy(described, key, session.declaration.content_type)
        copied = await self.objects.describe(key)
        if copied is None or not _same_bytes(described, copied):
            await self.objects.delete(key)
            raise PreconditionChanged
        return copied


def _same_bytes(one: StoredObject, other: StoredObject) -> bool:
    theirs = other.known_digests().known()
    digests = one.known_digests().known().items()
    return one.size == other.size and all(theirs.get(a, d) == d for a, d in digests)
