"""Calls of Nylas' own client, which is unmodified, and requests that it never sends."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from nylas import Client
from nylas.models.attachments import AttachmentUploadSession
from nylas.models.drafts import Draft
from nylas.models.errors import NylasApiError
from nylas.models.response import Response as NylasResponse
from nylas.utils.file_utils import _build_form_request

from support.gateway_fixtures import RunningGateway
from support.service_fixtures import TENANT

BODY = b"hello\n"
UNKNOWN = "01890000-0000-7000-8000-000000000000"
FIND: Any = {"message_id": "any"}
TYPES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 500: "internal_error"}


@dataclass(frozen=True)
class Caller:
    """Nylas' client, whose calls block, with one key and grant."""

    client: Client
    url: str
    api_key: str
    grant: str = TENANT

    async def create_session(self, **fields: Any) -> AttachmentUploadSession:
        body: Any = {"filename": "a.txt", "content_type": "text/plain", **fields}
        create = self.client.attachments.create_upload_session
        session: AttachmentUploadSession = await self._data(create, body)
        return session

    async def complete(self, attachment_id: str) -> Any:
        return await self._data(self.client.attachments.complete_upload_session, attachment_id)

    async def ready(self, body: bytes = BODY) -> str:
        """Returns the id of an attachment with these bytes."""
        session = await self.create_session(size=len(body))
        assert await put(session, body) == 200
        return str((await self.complete(id_of(session))).attachment_id)

    async def find(self, attachment_id: str) -> Any:
        return await self._data(self.client.attachments.find, attachment_id, FIND)

    async def download(self, attachment_id: str) -> bytes:
        download = self.client.attachments.download_bytes
        return await asyncio.to_thread(download, self.grant, attachment_id, FIND)

    async def create_draft(self, **fields: Any) -> Draft:
        draft: Draft = await self._data(self.client.drafts.create, fields)
        return draft

    async def update_draft(self, draft_id: str, **fields: Any) -> Draft:
        draft: Draft = await self._data(self.client.drafts.update, draft_id, fields)
        return draft

    async def find_draft(self, draft_id: str) -> Draft:
        draft: Draft = await self._data(self.client.drafts.find, draft_id)
        return draft

    async def send_form(self, method: str, path: str, **fields: Any) -> Draft:
        """Sends the form that the client builds; the client itself cannot read the response."""
        path = f"/v3/grants/{self.grant}{path}"
        form = _build_form_request(fields)
        send = partial(self.client.http_client._execute, method, path, data=form)
        response, _ = await asyncio.to_thread(send)
        draft: Draft = NylasResponse.from_dict(response, Draft).data
        return draft

    async def _data(self, method: Callable[..., Any], *arguments: Any) -> Any:
        response = await asyncio.to_thread(method, self.grant, *arguments)
        assert response[1]
        return response[0]


def caller_of(gateway: RunningGateway, api_key: str, grant: str = TENANT) -> Caller:
    return Caller(Client(api_key=api_key, api_uri=gateway.url), gateway.url, api_key, grant)


async def put(session: AttachmentUploadSession, body: bytes = BODY) -> int:
    assert session.url
    async with httpx.AsyncClient() as http:
        return (await http.put(session.url, content=body, headers=session.headers)).status_code


def id_of(one: Any) -> str:
    return str(one.attachment_id if hasattr(one, "attachment_id") else one.id)


def ids_of(draft: Draft) -> list[str | None]:
    return [one.id for one in draft.attachments or []]


async def refused(status: int, awaitable: Awaitable[object]) -> NylasApiError:
    """The error that the client raises for this status, in the documented form."""
    with pytest.raises(NylasApiError) as raised:
        await awaitable
    error = raised.value
    assert error.status_code == status, error
    assert error.request_id == error.headers.get("x-request-id", "")
    assert error.type == TYPES.get(status, "invalid_request")
    assert str(error)
    assert bool(error.provider_error) == (status == 401)
    return error


def file(content: bytes, name: str = "pic.png", **fields: Any) -> dict[str, Any]:
    """An attachment as the client's users write it: a file, and its size."""
    own = {"filename": name, "content_type": "image/png; name=pic.png"}
    return {**own, "content": io.BytesIO(content), "size": len(content), **fields}


def calls_of(caller: Caller, attachment_id: str, draft_id: str) -> Iterator[Awaitable[object]]:
    """A call of each method that names an attachment or a draft."""
    for method in (caller.complete, caller.find, caller.download):
        yield method(attachment_id)
    yield caller.find_draft(draft_id)
    yield caller.update_draft(draft_id, subject="Other", attachments=[])


@asynccontextmanager
async def httpx_of(caller: Caller) -> AsyncIterator[httpx.AsyncClient]:
    """Requests that the client never sends."""
    headers = {"authorization": f"Bearer {caller.api_key}"}
    url = f"{caller.url}/v3/grants/{caller.grant}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
        yield http


async def session_at(caller: Caller, attachment_id: str) -> dict[str, Any]:
    """The session, of which the client has no method."""
    async with httpx_of(caller) as http:
        found = await http.get(f"/attachment-uploads/{attachment_id}")
    data: dict[str, Any] = found.json()["data"]
    return data
