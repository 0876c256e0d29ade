"""Sealing: makes the verified bytes unreachable for every upload URL that was issued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.object_faults import PreconditionChanged
from attachery_service.domain.sessions import PendingSession, Seal
from attachery_service.ports.objects import ObjectStore
from attachery_service.ports.signing import TargetSigner


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals an upload in the way that was chosen at Start."""

    objects: ObjectStore
    signer: TargetSigner

    async def seal(self, session: PendingSession, uploaded: StoredObject) -> StoredObject:
        """Returns the sealed object. Raises PreconditionChanged if `uploaded` was replaced."""
        match session.seal:
            case Seal.WRITE_ONCE:
                # The only URL of this key cannot replace its object.
                return uploaded
            case Seal.COPY:
                return await self._copy(session, uploaded)
            case _:
                assert_never(session.seal)

    async def _copy(self, session: PendingSession, uploaded: StoredObject) -> StoredObject:
        # Each attempt has its own key, so that concurrent calls cannot touch each other's copies.
        key = self.signer.new_key(session.tenant_id, session.attachment_id)
        await self.objects.copy(uploaded, key, session.declaration.content_type)
        copied = await self.objects.head(key)
        if copied is None or not _same_bytes(uploaded, copied):
            await self.objects.delete(key)
            raise PreconditionChanged
        return copied


def _same_bytes(one: StoredObject, other: StoredObject) -> bool:
    theirs = other.known_digests().known()
    digests = one.known_digests().known().items()
    return one.size == other.size and all(theirs.get(a, d) == d for a, d in digests)
