"""A repeated Resolve returns the current state, despite the cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery_service.domain.identity import ALL_SCOPES, Scope
from support.holding import HOUR, exactly, extend, get, held, reasons, release, take
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

OTHER_TENANT = "other"


async def resolve(
    service: ServiceUnderTest, *ids: str, tenant_id: str = TENANT, urls: bool = False
) -> pb.ResolveAttachmentsResponse:
    request = pb.ResolveAttachmentsRequest(
        tenant_id=tenant_id, attachment_ids=ids, include_download_urls=urls
    )
    return await service.attachments.ResolveAttachments(request, metadata=service.metadata)


async def attachments(service: ServiceUnderTest, *ids: str) -> Sequence[resources_pb2.Attachment]:
    return [result.attachment for result in (await resolve(service, *ids)).results]


async def resolved_before(service: ServiceUnderTest) -> str:
    """An attachment that this server has resolved twice."""
    attachment_id = await service.ready()
    first, second = await resolve(service, attachment_id), await resolve(service, attachment_id)
    assert first == second
    assert [result.attachment for result in first.results] == [await get(service, attachment_id)]
    return attachment_id


async def use_scopes(service: ServiceUnderTest, *without: Scope) -> None:
    key = await service.new_key(scopes=ALL_SCOPES - set(without))
    service.metadata = (("authorization", f"Bearer {key}"),)


async def test_a_deleted_attachment_is_not_returned(service: ServiceUnderTest) -> None:
    attachment_id = await resolved_before(service)
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    assert reasons(await resolve(service, attachment_id)) == ["OBJECT_PURGED"]


async def test_an_attachment_deleted_by_another_server_is_not_returned(
    make_service: MakeService,
) -> None:
    service, other = await make_service(), await make_service()
    attachment_id = await resolved_before(service)
    assert await attachments(other, attachment_id) == await attachments(service, attachment_id)
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await other.attachments.DeleteAttachment(request, metadata=other.metadata)
    for server in (service, other):
        assert reasons(await resolve(server, attachment_id)) == ["OBJECT_PURGED"]


async def test_a_hold_is_seen_at_once_and_so_are_its_extension_and_its_release(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await resolved_before(service)
    (before,) = await attachments(service, attachment_id)
    hold = await held(service, attachment_id)
    ends = [exactly(hold.expire_time)]
    ends.append(exactly((await attachments(service, attachment_id))[0].object_purge_time))
    longer = await extend(service, hold.hold_id, 3 * HOUR)
    ends.append(exactly((await attachments(service, attachment_id))[0].object_purge_time))
    assert ends == [ends[0], ends[0], exactly(longer.expire_time)]
    assert ends[0] < ends[2]
    await release(service, hold.hold_id)
    (after,) = await attachments(service, attachment_id)
    assert after.object_purge_time == before.object_purge_time
    assert after == await get(service, attachment_id)


async def test_with_a_hold_it_is_answered_as_without(service: ServiceUnderTest) -> None:
    attachment_id = await resolved_before(service)
    (result,) = (await take(service, attachment_id)).results
    assert result.attachment == await get(service, attachment_id)
    assert [result] == list((await resolve(service, attachment_id)).results)


async def test_expired_bytes_are_not_returned(service: ServiceUnderTest) -> None:
    attachment_id = await resolved_before(service)
    await service.age(attachment_id, HOUR)
    assert reasons(await resolve(service, attachment_id)) == ["OBJECT_PURGED"]


async def test_an_expired_row_is_not_found(service: ServiceUnderTest) -> None:
    attachment_id = await resolved_before(service)
    await service.age(attachment_id, timedelta(days=400))
    assert reasons(await resolve(service, attachment_id)) == ["ATTACHMENT_NOT_FOUND"]


async def test_a_row_that_is_gone_is_not_found(service: ServiceUnderTest) -> None:
    attachment_id = await resolved_before(service)
    await service.database.execute(
        "DELETE FROM upload_sessions WHERE attachment_id = $1", attachment_id
    )
    assert reasons(await resolve(service, attachment_id)) == ["ATTACHMENT_NOT_FOUND"]


async def test_a_row_changed_by_hand_is_read_again(service: ServiceUnderTest) -> None:
    attachment_id = await resolved_before(service)
    await service.database.execute(
        "UPDATE upload_sessions SET filename = 'renamed.txt' WHERE attachment_id = $1",
        attachment_id,
    )
    (renamed,) = await attachments(service, attachment_id)
    assert renamed.filename == "renamed.txt"
    assert renamed == await get(service, attachment_id)


async def test_the_same_id_is_another_attachment_in_another_tenant(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await resolved_before(service)
    key = await service.new_key(tenants=[TENANT, OTHER_TENANT])
    service.metadata = (("authorization", f"Bearer {key}"),)
    missing = await resolve(service, attachment_id, tenant_id=OTHER_TENANT)
    assert reasons(missing) == ["ATTACHMENT_NOT_FOUND"]
    await copy_to_other_tenant(service, attachment_id)
    for _ in range(2):
        (theirs,) = (await resolve(service, attachment_id, tenant_id=OTHER_TENANT)).results
        (ours,) = (await resolve(service, attachment_id)).results
        assert (theirs.attachment.tenant_id, ours.attachment.tenant_id) == (OTHER_TENANT, TENANT)
        assert (theirs.attachment.filename, ours.attachment.filename) == ("theirs", "hello.txt")


async def copy_to_other_tenant(service: ServiceUnderTest, attachment_id: str) -> None:
    """Writes both rows at once, so that they are of the same version."""
    columns = await service.database.fetchval(
        "SELECT string_agg(attname, ',') FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped"
        " AND attrelid = 'upload_sessions'::regclass AND attname NOT IN ('tenant_id', 'filename')"
    )
    await service.database.execute(
        f"""
        WITH ours AS (
            UPDATE upload_sessions SET purpose = purpose WHERE attachment_id = $1 RETURNING *
        )
        INSERT INTO upload_sessions (tenant_id, filename, {columns})
        SELECT '{OTHER_TENANT}', 'theirs', {columns} FROM ours
        """,  # noqa: S608
        attachment_id,
    )


async def test_callers_see_storage_refs_by_their_own_scope(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await resolved_before(service)
    for _ in range(2):
        await use_scopes(service)
        (told,) = await attachments(service, attachment_id)
        await use_scopes(service, Scope.ATTACHMENTS_STORAGE_READ)
        (untold,) = await attachments(service, attachment_id)
        assert told.HasField("storage")
        assert not untold.HasField("storage")
        told.ClearField("storage")
        assert told == untold


async def test_a_download_lifetime_begins_with_its_call(service: ServiceUnderTest) -> None:
    attachment_id = await resolved_before(service)
    first = (await resolve(service, attachment_id, urls=True)).results[0]
    second = (await resolve(service, attachment_id, urls=True)).results[0]
    assert exactly(first.download.expire_time) < exactly(second.download.expire_time)
    assert first.download.ttl == second.download.ttl
    assert first.attachment == second.attachment
    assert await service.fetch(second.download.url) == b"hello\n"


async def test_a_repeated_download_url_never_outlives_the_bytes(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await resolved_before(service)
    await service.age(attachment_id, timedelta(minutes=55))
    for _ in range(2):
        (result,) = (await resolve(service, attachment_id, urls=True)).results
        assert result.download.ttl.seconds <= 300
        end = exactly(result.attachment.object_purge_time)
        assert exactly(result.download.expire_time) <= end


async def test_one_response_joins_cached_and_new_results_and_errors_in_order(
    service: ServiceUnderTest,
) -> None:
    known = await resolved_before(service)
    new = await service.ready(b"new", metadata={f"key-{n}": "v" * 100 for n in range(20)})
    pending = (await service.start(size_bytes=1)).session.attachment_id
    ids = [pending, known, "no-uuid", new, known]
    for _ in range(2):
        answer = await resolve(service, *ids)
        assert [result.attachment_id for result in answer.results] == ids
        assert reasons(answer) == ["UPLOAD_NOT_READY", "", "INVALID_ATTACHMENT_ID", "", ""]
        for place in (1, 3, 4):
            assert answer.results[place].attachment == await get(service, ids[place])
