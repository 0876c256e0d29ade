"""What each method needs its caller to be granted."""

from __future__ import annotations

from attachery_service.domain.identity import Scope

SERVICES = ("attachery.v1.UploadSessionService", "attachery.v1.AttachmentService")

_UPLOADS, _ATTACHMENTS = SERVICES

SCOPES = {
    f"/{_UPLOADS}/StartUploadSession": Scope.UPLOADS_CREATE,
    f"/{_UPLOADS}/CompleteUploadSession": Scope.UPLOADS_COMPLETE,
    f"/{_UPLOADS}/CancelUploadSession": Scope.UPLOADS_CREATE,
    f"/{_UPLOADS}/GetUploadSession": Scope.UPLOADS_READ,
    f"/{_ATTACHMENTS}/GetAttachment": Scope.ATTACHMENTS_READ,
    f"/{_ATTACHMENTS}/ResolveAttachments": Scope.ATTACHMENTS_RESOLVE,
    f"/{_ATTACHMENTS}/CreateDownloadUrl": Scope.ATTACHMENTS_READ,
}
