"""Encoded sessions and attachments equal the messages built by keywords."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from attachery.v1 import attachments_pb2
from attachery.v1 import resources_pb2 as pb
from attachery_service.domain.checksums import NO_CHECKSUMS, Checksums
from attachery_service.domain.content_disposition import content_disposition
from attachery_service.domain.declarations import Declaration, Disposition
from attachery_service.domain.errors import AttachmentNotFound, BatchAborted, ObjectPurged
from attachery_service.domain.holds import Hold
from attachery_service.domain.identity import ALL_SCOPES, Principal, Scope
from attachery_service.domain.policy import UndeclaredSize
from attachery_service.domain.sessions import (
    Attachment,
    CancelledSession,
    DeletedSession,
    ExpiredSession,
    FailedSession,
    Failure,
    PendingSession,
    ReadySession,
    Seal,
    SealedObject,
    UploadSession,
)
from attachery_service.domain.transfers import DownloadUrl
from attachery_service.postgres.caches import sessions as caches
from attachery_service.postgres.caches.sessions import (
    SessionCache,
    VersionedSession,
    rebuild,
    without_holds,
)
from attachery_service.rpc.context import CallContext
from attachery_service.rpc.messages.attachment_view import AttachmentView
from attachery_service.rpc.messages.convert import DISPOSITIONS, STATES
from attachery_service.rpc.messages.protobuf_wire import length_delimited
from attachery_service.rpc.messages.resolutions import JoinedEncoding, MessageEncoding
from attachery_service.rpc.messages.sessions import session_message
from attachery_service.usecases.attachments.resolve_attachments import Resolution, Resolved

VIEW = AttachmentView("bucket")
IDS = [UUID(int=number) for number in range(3)]
TIMES = [
    "create_time",
    "update_time",
    "expire_time",
    "upload_url_expire_time",
    "object_purge_time",
    "metadata_purge_time",
    "read_time",
]

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
numbers = st.integers(1, 2**62)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
lives = st.timedeltas(timedelta(seconds=1), timedelta(days=7))
digests = st.none() | st.text("0123456789abcdef", min_size=1, max_size=64)
pairs = st.dictionaries(names, texts, max_size=3)
checksums = st.just(NO_CHECKSUMS) | st.builds(
    Checksums, md5=digests, sha256=digests, crc32c=digests, crc64nvme=digests
)
declarations = st.builds(
    Declaration,
    filename=names,
    content_type=names,
    size=st.none() | numbers,
    checksums=checksums,
    content_id=st.none() | names,
    disposition=st.sampled_from(Disposition),
    is_inline=st.booleans(),
    metadata=pairs | st.just({"k": "v" * 3000}),
)


common = {
    "tenant_id": st.sampled_from(["acme", "other"]),
    "attachment_id": st.sampled_from(IDS),
    "revision": st.integers(1, 2**31 - 1),
    "declaration": declarations,
    "purpose": names,
    "max_size": numbers,
    "undeclared_size": st.sampled_from(UndeclaredSize),
    "seal": st.sampled_from(Seal),
    "upload_key": names,
    "auto_complete": st.booleans(),
    "created_by": names,
    "held_until": st.none() | times,
    **dict.fromkeys(TIMES, times),
}
attachment = common | {
    "complete_time": times,
    "sealed": st.builds(SealedObject, names, names),
    "size": numbers,
    "verified_checksums": checksums,
    "detected_content_type": st.none() | names,
}
deleted_sessions = st.builds(DeletedSession, **attachment)


def ready_sessions(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[ReadySession]:
    return st.builds(ReadySession, **{**attachment, "is_claimable": st.booleans(), **fields})


def versioned(session: ReadySession, version: int) -> VersionedSession:
    return VersionedSession(**asdict(session), row_version=version)


def sessions() -> st.SearchStrategy[UploadSession]:
    return st.one_of(
        ready_sessions(),
        deleted_sessions,
        st.builds(PendingSession, **common),
        st.builds(CancelledSession, **common),
        st.builds(ExpiredSession, **common),
        st.builds(FailedSession, **common, failure=st.builds(Failure, names, pairs)),
    )


downloads = st.builds(DownloadUrl, url=names, lifetime=lives)
resolved = st.one_of(
    st.builds(
        lambda session, download: Resolved(str(session.attachment_id), session, download),
        # As late as it may be, the end of a download is a time that Python can tell.
        ready_sessions(
            read_time=times.filter(lambda time: time.year < 9998),
        ),
        st.none() | downloads,
    ),
    st.builds(
        lambda text, error: Resolved(text, error=error),
        texts,
        st.sampled_from([AttachmentNotFound(attachmentId="x"), BatchAborted(), ObjectPurged()]),
    ),
)
holds = st.builds(
    Hold,
    tenant_id=names,
    hold_id=st.sampled_from(IDS),
    owner=texts,
    created_by=names,
    create_time=times,
    expire_time=times,
    release_time=st.none() | times,
    consumed=st.booleans(),
    attachment_count=st.integers(0, 10_000),
    read_time=times,
)
resolutions = st.builds(Resolution, st.lists(resolved, max_size=6), st.none() | holds)


def called_by(*, sees_storage: bool) -> CallContext:
    scopes = ALL_SCOPES if sees_storage else ALL_SCOPES - {Scope.ATTACHMENTS_STORAGE_READ}
    caller = Principal(name="tester", tenants=None, scopes=scopes)
    return CallContext(method="method", request_id="request", principal=caller)


def time_of(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    message = Timestamp()
    message.FromDatetime(value)
    return message


def checksums_of(digests: Checksums) -> pb.Checksums | None:
    known = {algorithm.value: digest for algorithm, digest in digests.known().items()}
    return pb.Checksums(**known) if known else None


def told_session(session: UploadSession) -> pb.UploadSession:
    """The message by keywords, which is the plain way to make one."""
    declared = session.declaration
    failure = session.failure if isinstance(session, FailedSession) else None
    attached = session if isinstance(session, Attachment) else None
    pending = isinstance(session, PendingSession)
    return pb.UploadSession(
        attachment_id=str(session.attachment_id),
        tenant_id=session.tenant_id,
        state=STATES[session.state],
        filename=declared.filename,
        content_type=declared.content_type,
        declared_size_bytes=declared.size,
        max_size_bytes=session.max_size,
        size_bytes=attached.size if attached else None,
        declared_checksums=checksums_of(declared.checksums),
        verified_checksums=checksums_of(attached.verified_checksums) if attached else None,
        content_id=declared.content_id or "",
        disposition=DISPOSITIONS[declared.disposition],
        purpose=session.purpose,
        metadata=declared.metadata,
        create_time=time_of(session.create_time),
        update_time=time_of(session.update_time),
        expire_time=time_of(session.expire_time) if pending else None,
        complete_time=time_of(attached.complete_time if attached else None),
        object_purge_time=time_of(session.object_purge_time),
        metadata_purge_time=time_of(session.metadata_purge_time),
        upload_url_expire_time=time_of(session.upload_url_expire_time),
        failure=pb.UploadFailure(reason=failure.reason, metadata=failure.facts)
        if failure
        else None,
        created_by=session.created_by,
        revision=session.revision,
        auto_complete=session.auto_complete,
        is_inline=declared.is_inline,
        subject=session.subject or "",
    )


def told_attachment(session: ReadySession | DeletedSession, *, sees_storage: bool) -> pb.Attachment:
    """As `told_session`."""
    declared, sealed = session.declaration, session.sealed
    told = sees_storage and isinstance(session, ReadySession)
    return pb.Attachment(
        attachment_id=str(session.attachment_id),
        tenant_id=session.tenant_id,
        state=STATES[session.state],
        filename=declared.filename,
        content_type=declared.content_type,
        detected_content_type=session.detected_content_type or "",
        size_bytes=session.size,
        checksums=checksums_of(session.verified_checksums),
        content_id=declared.content_id or "",
        disposition=DISPOSITIONS[declared.disposition],
        is_inline=declared.is_inline,
        content_disposition=content_disposition(declared.disposition, declared.filename),
        purpose=session.purpose,
        metadata=declared.metadata,
        create_time=time_of(session.create_time),
        update_time=time_of(session.update_time),
        complete_time=time_of(session.complete_time),
        object_purge_time=time_of(session.object_purge_time),
        metadata_purge_time=time_of(session.metadata_purge_time),
        created_by=session.created_by,
        revision=session.revision,
        storage=pb.StorageRef(bucket=VIEW.bucket, key=sealed.key, etag=sealed.etag)
        if told
        else None,
    )


@given(sessions())
def test_a_session_is_told_as_by_keywords(session: UploadSession) -> None:
    assert session_message(session) == told_session(session)


@given(ready_sessions() | deleted_sessions, st.booleans())
def test_an_attachment_is_told_as_by_keywords(
    session: ReadySession | DeletedSession, sees_storage: bool
) -> None:
    caller = called_by(sees_storage=sees_storage).principal
    assert VIEW.message(session, caller) == told_attachment(session, sees_storage=sees_storage)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(resolutions, st.booleans()), min_size=1, max_size=4))
def test_joined_responses_equal_the_encoded_message_whatever_is_cached(
    answers: list[tuple[Resolution, bool]],
) -> None:
    cache, versions = SessionCache(), count()
    whole, joined = MessageEncoding(VIEW), JoinedEncoding(VIEW, cache)
    answers = [(cached(each, cache, versions), sees_storage) for each, sees_storage in answers]
    for resolution, sees_storage in [*answers, *answers]:
        context = called_by(sees_storage=sees_storage)
        expected, answer = whole(resolution, context), joined(resolution, context)
        assert read(answer) == read(expected)
        # The limit of a response's size applies to this length.
        assert len(answer) == len(expected)


def cached(resolution: Resolution, cache: SessionCache, versions: Iterator[int]) -> Resolution:
    """Gives each session a row version of its own; the cache keeps the last one of an id."""
    results = []
    for resolved in resolution.results:
        if resolved.session is not None:
            session = versioned(resolved.session, next(versions))
            cache.put(session)
            resolved = replace(resolved, session=session)  # noqa: PLW2901
        results.append(resolved)
    return Resolution(results, resolution.hold)


rows = ready_sessions(
    tenant_id=st.just("acme"), attachment_id=st.just(IDS[0]), held_until=st.none()
)


@given(rows, rows, times)
def test_a_change_of_a_row_or_of_its_holds_is_shown(
    before: ReadySession, after: ReadySession, hold_end: datetime
) -> None:
    cache = SessionCache()
    joined, context = JoinedEncoding(VIEW, cache), called_by(sees_storage=True)
    first, second = versioned(before, 1), versioned(after, 2)
    for row in (first, second, first):
        cache.put(row)
        for shown in (row, rebuild(row, row.read_time, hold_end), row):
            (result,) = read(joined(Resolution([Resolved("", shown)], None), context)).results
            assert result.attachment == told_attachment(shown, sees_storage=True)


@given(ready_sessions(), times, times)
def test_a_result_is_used_again_only_for_the_same_row_version_holds_and_view(
    session: ReadySession, now: datetime, hold_end: datetime
) -> None:
    cache, held = SessionCache(), replace(session, held_until=hold_end)
    cache.put(versioned(session, 1))
    cache.put_result(versioned(held, 1), b"bytes", shows_storage=True)

    def found(each: ReadySession, *, shows_storage: bool = True) -> bytes | None:
        return cache.get_result(each, shows_storage=shows_storage)

    assert found(versioned(replace(held, read_time=now), 1)) == b"bytes"
    assert found(versioned(held, 1), shows_storage=False) is None
    assert found(versioned(held, 2)) is None
    assert found(versioned(replace(held, held_until=None), 1)) is None
    assert found(versioned(replace(held, tenant_id="another"), 1)) is None
    assert found(held) is None


def test_the_cache_is_bounded_in_number_and_size() -> None:
    cache = SessionCache(2)
    sessions = [versioned(replace(example(), attachment_id=each), 1) for each in IDS]
    for session in sessions:
        cache.put(session)
        cache.put_result(session, b"bytes", shows_storage=True)
    kept = [cache.get_result(each, shows_storage=True) for each in sessions]
    assert kept == [None, b"bytes", b"bytes"]
    cache.put_result(sessions[1], b"x" * (caches._MAX_RESULT_BYTES + 1), shows_storage=False)
    assert cache.get_result(sessions[1], shows_storage=False) is None


@given(ready_sessions(), times, times)
def test_a_rebuilt_session_differs_in_its_times_only(
    session: ReadySession, own: datetime, now: datetime
) -> None:
    row = versioned(session, 7)
    found = without_holds(row, own, own)
    bare = replace(row, read_time=now)
    if row.held_until is None:
        assert rebuild(found, now, None) == bare
        return
    bare = replace(bare, held_until=None, object_purge_time=own, metadata_purge_time=own)
    assert rebuild(found, now, None) == bare
    later = max(own, now)
    assert rebuild(found, now, now) == replace(
        bare, held_until=now, object_purge_time=later, metadata_purge_time=later
    )


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_field_is_encoded_as_the_library_does(length: int) -> None:
    result = attachments_pb2.ResolveAttachmentResult(attachment_id="x" * length)
    whole = attachments_pb2.ResolveAttachmentsResponse(results=[result])
    assert length_delimited(1, result.SerializeToString()) == whole.SerializeToString()


def example() -> ReadySession:
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    return ReadySession(
        tenant_id="acme",
        attachment_id=IDS[0],
        revision=2,
        declaration=Declaration(
            filename="hello.txt",
            content_type="text/plain",
            size=6,
            checksums=NO_CHECKSUMS,
            content_id=None,
            disposition=Disposition.ATTACHMENT,
            is_inline=False,
            metadata={},
        ),
        purpose="default",
        max_size=100,
        undeclared_size=UndeclaredSize.FORM,
        seal=Seal.WRITE_ONCE,
        upload_key="key",
        auto_complete=False,
        is_claimable=False,
        created_by="tester",
        subject="visitor-1",
        create_time=moment,
        update_time=moment,
        expire_time=moment,
        upload_url_expire_time=moment,
        complete_time=moment,
        object_purge_time=moment,
        metadata_purge_time=moment,
        held_until=None,
        sealed=SealedObject("key", "etag"),
        size=6,
        verified_checksums=NO_CHECKSUMS,
        detected_content_type=None,
        read_time=moment,
    )


def read(answer: bytes) -> attachments_pb2.ResolveAttachmentsResponse:
    return attachments_pb2.ResolveAttachmentsResponse.FromString(answer)
