"""Nylas' own client writes drafts with attachments in Attachery, unmodified."""

from __future__ import annotations

import asyncio
import io
from base64 import b64encode
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from support.gateway_fixtures import MakeGateway, RunningGateway
from support.nylas_calls import (
    BODY,
    UNKNOWN,
    Caller,
    caller_of,
    file,
    httpx_of,
    id_of,
    ids_of,
    refused,
)
from support.service_fixtures import ServiceUnderTest
from support.sweep_fixtures import opened_sweeper

pytestmark = pytest.mark.xdist_group("gateways")


def _encoded(one: Any) -> Any:
    """The value with Base64 in place of files, as the client encodes it."""
    if isinstance(one, dict):
        return {name: _encoded(value) for name, value in one.items()}
    if isinstance(one, list):
        return [_encoded(value) for value in one]
    return b64encode(one.getvalue()).decode() if isinstance(one, io.BytesIO) else one


def _part(name: bytes, content: bytes) -> bytes:
    """A form with the boundary b."""
    head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n' % name
    return head + content + b"\r\n--b--\r\n"


@pytest.mark.requirement("A7", "N13", "P4")
async def test_an_updated_draft_keeps_exactly_the_attachments_that_it_lists_alive(
    caller: Caller, gateway_service: ServiceUnderTest
) -> None:
    kept, *dropped = [await caller.ready() for _ in range(3)]
    listed = [{"id": one} for one in (kept, *dropped)]
    draft = await caller.create_draft(subject="Three", attachments=listed)
    assert ids_of(draft) == [kept, *dropped]

    updated = await caller.update_draft(id_of(draft), attachments=listed[:1])

    assert (updated.subject, ids_of(updated)) == ("Three", [kept])
    for one in (kept, *dropped):
        await gateway_service.age(one, timedelta(hours=2))
    async with opened_sweeper(gateway_service.settings) as sweep:
        await sweep()
    assert ids_of(await caller.find_draft(id_of(draft))) == [kept]
    assert await caller.download(kept) == BODY
    for one in dropped:
        await refused(410, caller.download(one))


@pytest.mark.exhaustive
@pytest.mark.requirement("A7")
async def test_a_draft_belongs_to_the_principal_that_created_it(
    caller: Caller, nylas_gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    draft = await caller.create_draft(subject="Mine", attachments=[{"id": await caller.ready()}])
    rotated, other = await gateway_service.new_key(), await gateway_service.new_key()
    await gateway_service.database.execute(
        "UPDATE api_keys SET name = 'other' WHERE key_id = $1", other.split("_")[1]
    )
    assert await caller_of(nylas_gateway, rotated).find_draft(id_of(draft)) == draft
    await refused(404, caller_of(nylas_gateway, other).find_draft(id_of(draft)))
    await refused(404, caller_of(nylas_gateway, other).update_draft(id_of(draft), attachments=[]))


@pytest.mark.exhaustive
@pytest.mark.requirement("A3")
@pytest.mark.bad_input
@pytest.mark.parametrize(
    "attachments",
    [
        "a",
        {},
        ["a"],
        [None],
        [{}],
        [{"id": 1}],
        [{"id": None}],
        [{"url": "https://drive.example/file"}],
        [{"content": "aGk="}],
        [{"content": "aGk=", "filename": "a.txt"}],
        [{"content": "aGk=", "filename": "", "content_type": "text/plain"}],
        [{"content": "aGk=", "filename": "a/b", "content_type": "text/plain"}],
        [{"content": "aGk=", "filename": "a.txt", "content_type": "text"}],
        [{"content": "?", "filename": "a.txt", "content_type": "text/plain"}],
        [{"content": "", "filename": "a.txt", "content_type": "text/plain"}],
        [{"content": 1, "filename": "a.txt", "content_type": "text/plain"}],
        [file(b"hi", content_id="a b")],
        [file(b"hi", content_id=1)],
        [file(b"hi", is_inline="yes")],
        [file(b"hi", content_disposition="form-data")],
    ],
)
async def test_an_invalid_attachment_leaves_the_draft_as_it_is(
    caller: Caller, attachments: Any
) -> None:
    draft = await caller.create_draft(subject="Old", attachments=[{"id": await caller.ready()}])
    invalid = {"subject": "New", "attachments": attachments}
    async with httpx_of(caller) as http:
        sent = await http.put(f"/drafts/{id_of(draft)}", json=_encoded(invalid))
    assert sent.status_code == 400, sent.text
    assert await caller.find_draft(id_of(draft)) == draft


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"["),
        ("application/json", b"[]"),
        ("application/json", b"[" * 100_000),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b"x"),
        ("multipart/form-data; boundary=b", _part(b"message", b"{")),
        ("multipart/form-data; boundary=b", _part(b"message", b"[]")),
        ("multipart/form-data; boundary=b", _part(b"message", b"[" * 100_000)),
        ("multipart/form-data; boundary=b", _part(b'a b"; filename="a.txt', b"hi")),
        ("multipart/form-data; boundary=b", _part(b'a"; filename="', b"hi")),
        ("multipart/form-data; boundary=b", _part(b'a"; filename="a.txt', b"")),
    ],
)
async def test_a_body_that_is_no_message_is_refused(
    caller: Caller, content_type: str, body: bytes
) -> None:
    async with httpx_of(caller) as http:
        sent = await http.post("/drafts", content=body, headers={"content-type": content_type})
    assert sent.status_code == 400, sent.text
    assert sent.json()["error"]["type"] == "invalid_request"


@pytest.mark.exhaustive
@pytest.mark.requirement("A2")
async def test_a_request_of_more_than_3_mb_of_json_is_refused(caller: Caller) -> None:
    async with httpx_of(caller) as http:
        headers = {"content-type": "application/json"}
        for size, status in ((3_000_000, 200), (3_000_001, 413)):
            body = b'{"subject": "Large"}'.ljust(size)
            assert (await http.post("/drafts", content=body, headers=headers)).status_code == status
    # The client sends less than 3 MiB of files as JSON, in which they are a third larger.
    await refused(413, caller.create_draft(attachments=[file(bytes(2_300_000))]))
    assert ids_of(await caller.create_draft(attachments=[file(bytes(2_200_000))]))


@pytest.mark.exhaustive
@pytest.mark.requirement("A2", "A10", "A15")
async def test_a_form_of_up_to_25_mb_has_the_content_ids_as_names(caller: Caller) -> None:
    draft = await caller.send_form(
        "POST",
        "/drafts",
        body='<img src="cid:shown">',
        attachments=[
            file(b"png" * 1_100_000, "né.png", content_id="shown"),
            file(b"ics", "invite.ics", content_id="hidden"),
            file(b"txt", "notes.txt"),
        ],
    )
    found = {one.content_id: one for one in draft.attachments or []}
    assert {name: one.filename for name, one in found.items()} == {
        "shown": "né.png",
        "hidden": "invite.ics",
        "file2": "notes.txt",
    }
    assert {name: one.is_inline for name, one in found.items()} == {
        "shown": True,
        "hidden": False,
        "file2": False,
    }
    assert found["shown"].content_type == "image/png; name=pic.png"
    assert await caller.download(id_of(found["shown"])) == b"png" * 1_100_000

    replaced = [file(b"new" * 1_100_000, content_id="shown")]
    with pytest.raises(TypeError):  # the client, when it reads the response
        await caller.update_draft(id_of(draft), attachments=replaced)
    updated = await caller.find_draft(id_of(draft))
    assert [(one.content_id, one.is_inline) for one in updated.attachments or []] == [
        ("shown", True)
    ]
    assert updated.body == draft.body
    await refused(413, caller.create_draft(attachments=[file(bytes(25_000_000))]))
    await refused(413, caller.update_draft(id_of(draft), attachments=[file(bytes(50_000_000))]))
    assert await caller.find_draft(id_of(draft)) == updated


@pytest.mark.exhaustive
@pytest.mark.requirement("A8", "A9", "A11", "A12", "A13", "A14", "A16")
async def test_an_attachment_of_json_is_inline_if_it_has_a_content_id(caller: Caller) -> None:
    draft = await caller.create_draft(
        body='<img src="cid:123456hbd">',
        attachments=[
            file(b"1", content_id="123456hbd"),
            file(b"2", "invite.ics", content_id="<unknown@cid>", content_type="application/ics"),
            file(b"3", "plain.png"),
            file(b"4", "hidden.png", content_id="hidden", is_inline=False),
            file(b"5", "saved.png", content_disposition='attachment; filename="x"', is_inline=True),
        ],
    )
    shown = {one.filename: one for one in draft.attachments or []}
    assert {name: (one.content_id, one.is_inline) for name, one in shown.items()} == {
        "pic.png": ("123456hbd", True),
        "invite.ics": ("unknown@cid", True),
        "plain.png": ("", False),
        "hidden.png": ("hidden", False),
        "saved.png": ("", True),
    }
    assert str(shown["saved.png"].content_disposition).startswith("attachment;")
    assert shown["invite.ics"].content_type == "application/ics"
    async with httpx_of(caller) as http:
        text = (await http.get(f"/attachments/{shown['pic.png'].id}")).text
    assert text.count('"content_id"') == 1


@pytest.mark.exhaustive
@pytest.mark.requirement("A1", "A7")
async def test_an_update_changes_only_the_fields_that_it_has(caller: Caller) -> None:
    first, second = await caller.ready(), await caller.ready()
    draft = await caller.create_draft(subject="Old", body="Text", attachments=[{"id": first}])
    renamed = await caller.update_draft(id_of(draft), subject="New")
    assert (renamed.subject, renamed.body, ids_of(renamed)) == ("New", "Text", [first])

    both = [{"id": second}, {"id": first}, {"id": second}]
    assert ids_of(await caller.update_draft(id_of(draft), attachments=both)) == [first, second]
    mixed = await caller.update_draft(id_of(draft), attachments=[{"id": second}, file(b"new")])
    assert ids_of(mixed)[0] == second
    assert await caller.download(str(ids_of(mixed)[1])) == b"new"

    wrong = [{"id": first}, {"id": UNKNOWN}]
    await refused(404, caller.update_draft(id_of(draft), subject="Wrong", attachments=wrong))
    assert await caller.find_draft(id_of(draft)) == mixed
    emptied = await caller.update_draft(id_of(draft), attachments=[])
    assert (emptied.subject, emptied.attachments) == ("New", [])
    assert await caller.find_draft(id_of(draft)) == emptied


@pytest.mark.exhaustive
@pytest.mark.requirement("A7")
async def test_of_updates_at_a_time_one_list_remains(caller: Caller) -> None:
    draft = await caller.create_draft(attachments=[{"id": await caller.ready()}])
    lists = [[await caller.ready(), await caller.ready()] for _ in range(4)]
    updates = [
        caller.update_draft(id_of(draft), attachments=[{"id": one} for one in ids]) for ids in lists
    ]
    await asyncio.gather(*updates)
    assert ids_of(await caller.find_draft(id_of(draft))) in lists


@pytest.mark.exhaustive
@pytest.mark.requirement("A7")
async def test_every_access_to_a_draft_renews_its_hold(
    caller: Caller, gateway_service: ServiceUnderTest
) -> None:
    draft = await caller.create_draft(subject="Old", attachments=[{"id": await caller.ready()}])

    async def left() -> timedelta:
        found: timedelta = await gateway_service.database.fetchval(
            "SELECT expire_time - now() FROM holds WHERE owner = $1", draft.id
        )
        return found

    for access in (caller.find_draft, partial(caller.update_draft, subject="New")):
        await gateway_service.database.execute(
            "UPDATE holds SET create_time = create_time - interval '6 d',"
            " expire_time = expire_time - interval '6 d' WHERE owner = $1",
            draft.id,
        )
        assert await left() < timedelta(days=1)
        await access(id_of(draft))
        assert await left() > timedelta(days=6)


@pytest.mark.exhaustive
@pytest.mark.requirement("A7")
async def test_the_attachments_of_a_draft_outlive_the_gateway(
    caller: Caller, make_gateway: MakeGateway, gateway_service: ServiceUnderTest
) -> None:
    attachment_id = await caller.ready()
    draft = await caller.create_draft(subject="Lost", attachments=[{"id": attachment_id}])
    empty = await caller.create_draft(subject="Lost")

    restarted = caller_of(await make_gateway("nylas", gateway_service), caller.api_key)

    found = await restarted.find_draft(id_of(draft))
    assert (found.id, found.subject, ids_of(found)) == (draft.id, None, [attachment_id])
    updated = await restarted.update_draft(id_of(draft), subject="New")
    assert (updated.subject, ids_of(updated)) == ("New", [attachment_id])
    await refused(404, restarted.find_draft(id_of(empty)))
