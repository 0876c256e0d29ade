"""What each method needs its caller to be granted, and under which rate limit it falls."""

from __future__ import annotations

from attachery_service.domain.identity import Scope
from attachery_service.domain.rates import Category

SERVICES = (
    "attachery.v1.UploadSessionService",
    "attachery.v1.AttachmentService",
    "attachery.v1.AdminService",
)

_UPLOADS, _ATTACHMENTS, _ADMIN = SERVICES

SCOPES = {
    f"/{_UPLOADS}/StartUploadSession": Scope.UPLOADS_CREATE,
    f"/{_UPLOADS}/CompleteUploadSession": Scope.UPLOADS_COMPLETE,
    f"/{_UPLOADS}/BatchCompleteUploadSessions": Scope.UPLOADS_COMPLETE,
    f"/{_UPLOADS}/CancelUploadSession": Scope.UPLOADS_CREATE,
    f"/{_UPLOADS}/GetUploadSession": Scope.UPLOADS_READ,
    f"/{_UPLOADS}/ListUploadSessions": Scope.UPLOADS_READ,
    f"/{_UPLOADS}/GetUploadPolicy": Scope.UPLOADS_READ,
    f"/{_ATTACHMENTS}/GetAttachment": Scope.ATTACHMENTS_READ,
    f"/{_ATTACHMENTS}/ResolveAttachments": Scope.ATTACHMENTS_RESOLVE,
    f"/{_ATTACHMENTS}/CreateDownloadUrl": Scope.ATTACHMENTS_READ,
    f"/{_ATTACHMENTS}/ExtendHold": Scope.ATTACHMENTS_RESOLVE,
    f"/{_ATTACHMENTS}/ReleaseHold": Scope.ATTACHMENTS_RESOLVE,
    f"/{_ATTACHMENTS}/DeleteAttachment": Scope.ATTACHMENTS_DELETE,
    f"/{_ADMIN}/AuditAttachments": Scope.ADMIN,
}

# All that a session token is good for; the use cases see to it that the session is the token's.
OF_ONE_SESSION = frozenset(
    f"/{_UPLOADS}/{name}"
    for name in ("CompleteUploadSession", "CancelUploadSession", "GetUploadSession")
)

CATEGORIES = {
    f"/{_UPLOADS}/StartUploadSession": Category.WRITE,
    f"/{_UPLOADS}/CompleteUploadSession": Category.WRITE,
    f"/{_UPLOADS}/BatchCompleteUploadSessions": Category.WRITE,
    f"/{_UPLOADS}/CancelUploadSession": Category.WRITE,
    f"/{_UPLOADS}/GetUploadSession": Category.READ,
    f"/{_UPLOADS}/ListUploadSessions": Category.READ,
    f"/{_UPLOADS}/GetUploadPolicy": Category.READ,
    f"/{_ATTACHMENTS}/GetAttachment": Category.READ,
    f"/{_ATTACHMENTS}/ResolveAttachments": Category.RESOLVE,
    f"/{_ATTACHMENTS}/CreateDownloadUrl": Category.READ,
    f"/{_ATTACHMENTS}/ExtendHold": Category.RESOLVE,
    f"/{_ATTACHMENTS}/ReleaseHold": Category.RESOLVE,
    f"/{_ATTACHMENTS}/DeleteAttachment": Category.WRITE,
    f"/{_ADMIN}/AuditAttachments": Category.READ,
}
