"""The second read of an upload that failed verification, before its bytes are deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain.checks import Check, CheckMethod, Expectation
from attachery_service.domain.errors import StorageUnavailable
from attachery_service.domain.object_faults import PreconditionChanged
from attachery_service.domain.policy import Sniffing
from attachery_service.domain.sessions import UploadSession
from attachery_service.usecases.uploads.checks import Verification, Verified

# Called with the attachment id, the failed check, and the failed check of the second read.
OnDisagreement = Callable[[UUID, Check, Check | None], None]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Verifies an object again by other storage requests than the first time.

    A single wrong response, such as a HEAD with the Content-Length of something else, must not
    destroy an upload.
    """

    second_look: Verification
    on_disagreement: OnDisagreement

    async def confirm(
        self,
        session: UploadSession,
        failed: Check,
        etag: str,
        expected: Expectation,
        sniffing: Sniffing,
    ) -> None:
        """Returns if the second read of the upload ends with the same failed check.

        `etag` is the upload's in the first read. Raises StorageUnavailable if the reads disagree,
        PreconditionChanged if the object was replaced in between, ObjectNotUploaded if it is gone,
        StorageMisconfigured.
        """
        again = await self._look_again(session.upload_key, etag, expected, sniffing)
        if not _agree(failed, again.failed_check):
            self.on_disagreement(session.attachment_id, failed, again.failed_check)
            raise StorageUnavailable

    async def _look_again(
        self, key: str, etag: str, expected: Expectation, sniffing: Sniffing
    ) -> Verified:
        described = await self.second_look.describe(key, expected)
        if described.found.etag != etag:
            raise PreconditionChanged
        if described.failed_check is not None:
            return described
        return await self.second_look.read(described, described.found, expected, sniffing)


def _agree(first: Check, second: Check | None) -> bool:
    if second is None or (first.kind, first.expected) != (second.kind, second.expected):
        return False
    # An ETag of 32 digits need not be an MD5: the bytes are wrong if their own MD5 is.
    return first.actual == second.actual or first.method is CheckMethod.ETAG
