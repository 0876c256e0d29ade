"""The call after a Complete, as a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable

from attachery_service.domain.checks import Check, failures
from attachery_service.domain.sessions import DeletedSession, UploadSession


def step_after_complete(session: UploadSession) -> str:
    """Names the call that uses the attachment; a repeated Complete may find it deleted."""
    if isinstance(session, DeletedSession):
        return (
            f"The bytes of {session.attachment_id} were deleted: call StartUploadSession to upload "
            "the file again."
        )
    return (
        f"The attachment is ready: pass attachment_id {session.attachment_id} to "
        "ResolveAttachments to use it, or to CreateDownloadUrl to download it."
    )


def step_after_dry_run(session: UploadSession, checks: Iterable[Check]) -> str:
    """Names the Complete that changes the session."""
    call = f"call CompleteUploadSession with attachment_id {session.attachment_id}"
    if any(failures(checks)):
        return f"Upload bytes that pass every check, then {call}."
    return f"Every check passed: {call} and without validate_only."
