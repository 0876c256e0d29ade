"""Signing of URLs for object storage."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from attachery_service.domain.sessions import SealedObject
from attachery_service.domain.transfers import DownloadUrl, TargetRequest, UploadTarget


class TargetSigner(Protocol):
    """Signs presigned URLs and forms. The signing methods raise StorageMisconfigured."""

    def new_key(self, tenant_id: str, attachment_id: UUID) -> str:
        """Generates a key that was never used before."""

    async def sign_upload(self, request: TargetRequest) -> UploadTarget:
        """Signs an upload that object storage accepts only within the request's constraints.

        A PUT has no limit of its size if none is declared.
        """

    async def sign_download(
        self, sealed: SealedObject, lifetime: timedelta, content_type: str, disposition: str
    ) -> DownloadUrl:
        """Signs a GET whose response has this Content-Type and Content-Disposition."""
