"""A stand-in for Attachery in unit tests of its callers: no server, no storage, no network.

It is the real client over a service of dictionaries, so methods, arguments and answers are the real
ones. It judges sizes, MD5, SHA-256, states and repeated request ids. It does not judge credentials,
names and other text, or lifetimes; it lists no checks, and has no storage to refer to.
"""

from __future__ import annotations

from typing import Any

from attachery_client.client import AttacheryClient
from attachery_client.connection import Connection, Stubs
from attachery_client.testing.service import InMemoryService
from attachery_client.transfer import Transfer


class FakeAttachery(AttacheryClient):
    """An AttacheryClient to hand to the code under test.

    Example:

        async with FakeAttachery() as attachery:
            started = await attachery.start_upload_session(
                tenant_id="acme", filename="a.txt", content_type="text/plain"
            )
            attachery.put(started.session.attachment_id, b"hello")  # plays the uploader
    """

    def __init__(self) -> None:
        super().__init__("in-memory", api_key="none")
        self._service = InMemoryService()
        self._connection = _Direct(self._service)

    def put(self, attachment_id: str, data: bytes) -> None:
        """Uploads these bytes, as whoever was given the session's target would."""
        self._service.uploads[attachment_id].data = data

    def expire(self, attachment_id: str) -> None:
        """Lets the deadline of a PENDING session pass."""
        self._service.uploads[attachment_id].become("EXPIRED")

    def end_hold(self, hold_id: str) -> None:
        """Lets the time of a hold pass."""
        self._service.end_hold(hold_id)

    def _open_transfer(self) -> Transfer:
        return self._service


class _Direct(Connection):
    """A connection whose calls are function calls."""

    def __init__(self, service: Any) -> None:
        super().__init__("in-memory", "none", None, 0, ())
        self._stubs = Stubs(service, service, service)

    def open(self) -> None:
        """Does nothing: there is no channel."""

    async def close(self) -> None:
        """Does nothing: what was uploaded can be looked at afterwards."""

    async def call(self, method: Any, request: Any, timeout: float | None) -> Any:  # noqa: ARG002, ASYNC109
        return method(request)
