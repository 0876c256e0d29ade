"""A fake of Attachery for unit tests of its callers: no server, no storage, no network.

It is the real client over a service of dictionaries, so methods, arguments, responses and
exceptions are the real ones. It checks sizes, MD5, SHA-256, names, states and repeated request ids,
and fails as a test requests. It does not check credentials, other text, or lifetimes; it returns no
checks, and has no storage to refer to.
"""

from __future__ import annotations

import copy
import re
from typing import Any, BinaryIO, Literal

from attachery.v1.resources_pb2 import UploadTarget
from attachery_client.call_info import ATTEMPT_KEY, REQUEST_ID_KEY, Trailers
from attachery_client.call_options import CallOptions
from attachery_client.client import AttacheryClient
from attachery_client.connection import Channel, Connection, Stubs
from attachery_client.errors import AttacheryError
from attachery_client.testing.callers import choose_tenant
from attachery_client.testing.failures import Failure, Failures, as_received
from attachery_client.testing.service import InMemoryService
from attachery_client.transfer import Body, Transfer


class FakeAttachery(AttacheryClient):
    """An AttacheryClient to hand to the code under test.

    Example:

        async with FakeAttachery() as attachery:
            started = await attachery.start_upload_session(
                tenant_id="acme", filename="a.txt", content_type="text/plain"
            )
            attachery.put(started.session.attachment_id, b"hello")  # plays the uploader
            attachery.fail("STORAGE_UNAVAILABLE", method="complete_upload_session")
    """

    def __init__(
        self,
        *,
        allow_empty: bool = False,
        undeclared_size: Literal["form", "put"] = "form",
        tenant_id: str = "",
    ) -> None:
        """Has one purpose, with these options of a policy, and one credential.

        - `allow_empty`: uploads of 0 bytes are good.
        - `undeclared_size`: the target of an upload whose size is not declared, a form or a PUT.
        - `tenant_id`: the one tenant that the credential covers; empty for a credential for all.
        """
        super().__init__("in-memory", api_key="none")
        self._service = InMemoryService(
            allow_empty=allow_empty, undeclared_size=undeclared_size, tenant_id=tenant_id
        )
        self._failures = Failures()
        channel = _Direct(self._service, self._failures)
        self._connection = Connection(channel, CallOptions("none"), timeout=0)

    def put(self, attachment_id: str, data: bytes) -> None:
        """Uploads these bytes, as the uploader with the session's target would."""
        self._service.uploads[attachment_id].data = data

    def expire(self, attachment_id: str) -> None:
        """Lets the deadline of a PENDING session pass."""
        self._service.uploads[attachment_id].become("EXPIRED")

    def end_hold(self, hold_id: str) -> None:
        """Lets the time of a hold pass."""
        self._service.end_hold(hold_id)

    def fail(
        self,
        failure: Failure,
        *,
        method: str | None = None,
        times: int | None = 1,
        answer_is_lost: bool = False,
    ) -> None:
        """Makes the next calls fail; failures that were asked for earlier come first.

        - `failure`: an exception of `attachery_client.errors` with its facts and `retry_after`, its
          class, or the name of an `ErrorReason` such as `"RATE_LIMITED"`; for the bytes of `upload`
          and `download` a `TransferFailed`.
        - `method`: the call that fails, such as `"complete_upload_session"`, also within `upload`
          and `download`; `"send"` and `"fetch"` are the transfer of their bytes. None: any call
          that can fail in this way.
        - `times`: how many calls fail; None: all until `clear_failures()`. The real client makes up
          to four attempts of a call that is UNAVAILABLE, which count as one here.
        - `answer_is_lost`: the call has its effect, and only the answer is replaced by the failure.

        Raises ValueError for a reason or method that does not exist.
        """
        self._failures.add(failure, method, times, answer_is_lost=answer_is_lost)

    def clear_failures(self) -> None:
        """Lets all calls succeed again."""
        self._failures.clear()


class _Direct(Channel):
    """A channel whose calls are function calls."""

    def __init__(self, service: Any, failures: Failures) -> None:
        super().__init__("in-memory", None, (), ())
        self._service = service
        self._failures = failures

    def open(self) -> None:
        self._stubs = Stubs(self._service, self._service, self._service, self._service)

    async def send(
        self,
        method: Any,
        request: Any,
        timeout: float,  # noqa: ARG002, ASYNC109
        metadata: dict[str, str | bytes],
    ) -> tuple[Any, Trailers]:
        request_id = str(metadata[REQUEST_ID_KEY])
        planned = self._failures.take(_snake_case(method.__name__))
        try:
            if planned is not None and not planned.answer_is_lost:
                raise planned.error
            choose_tenant(request, self._service.tenant_id)
            answer = method(request)
            if planned is not None:
                raise planned.error
        except AttacheryError as error:
            failure = as_received(error, request_id)
        else:
            return answer, {REQUEST_ID_KEY: request_id, ATTEMPT_KEY: "1"}
        raise failure

    def _new_transfer(self) -> Transfer:
        return _DirectTransfer(self._service, self._failures)


class _DirectTransfer:
    """Carries bytes to and from the in-memory service."""

    def __init__(self, service: InMemoryService, failures: Failures) -> None:
        self._service = service
        self._failures = failures

    async def send(self, target: UploadTarget, body: Body) -> None:
        if (planned := self._failures.take("send")) is None:
            self._service.receive(target, body)
            return
        if planned.answer_is_lost:
            self._service.receive(target, body)
        raise copy.copy(planned.error)

    async def fetch(self, url: str, sink: BinaryIO) -> None:
        if (planned := self._failures.take("fetch")) is not None:
            raise copy.copy(planned.error)
        self._service.write_to(sink, url)

    async def close(self) -> None:
        """Does nothing: there are no connections."""


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
