"""Probes the bucket to find out which S3 features it enforces.

S3-compatible object storage differs in the features that seals depend on: some servers sign headers
but do not verify them, some accept `If-None-Match` and ignore it. At start-up the service probes
the bucket instead of trusting its documentation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from botocore.exceptions import ClientError
from msgspec import structs

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.errors import (
    AttacheryError,
    StorageMisconfigured,
    StorageUnavailable,
)
from attachery_service.domain.object_faults import PreconditionChanged
from attachery_service.domain.sessions import Seal
from attachery_service.s3.bucket.trial import BYTES, CONTENT_TYPE, Answer, Trial, open_trial
from attachery_service.s3.client import Storage, ping
from attachery_service.s3.diagnosis import DENIALS, NO_BUCKET, refusal_detail
from attachery_service.s3.errors import code_of, status_of, translate_errors

# The limit of the whole probe in seconds; it makes about twenty requests.
PROBE_SECONDS: Final = 60.0
_OTHER_BYTES: Final = b"other"
# In seconds. A signature is refused if the clocks differ by fifteen minutes, and a download URL
# dated in the future is refused at once.
_CLOCK_TOLERANCE: Final = 5.0
_NO_ETAG: Final = "0" * 32


class Permission(StrEnum):
    """A permission of the service's credentials below the prefix."""

    PUT = "put"
    GET = "get"
    HEAD = "head"
    LIST = "list"
    COPY = "copy"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """The results of a probe.

    `seal`: the seal to use. `write_once`: a URL signed with `If-None-Match` writes its key once.
    `signed_headers`: a URL rejects any other length or type. `conditional_copy`: a copy is refused
    if its source has changed. `versioned`: deleted and replaced bytes stay in the bucket.
    `permitted`: with LIST, object storage answers 404 and not 403 for a missing object.
    `clock_difference`: seconds by which object storage's clock is ahead, to about one second; None
    if unknown. `notes`: one sentence for each fact that operators should know.
    """

    seal: Seal
    write_once: bool
    signed_headers: bool
    conditional_copy: bool
    versioned: bool
    permitted: frozenset[Permission]
    clock_difference: float | None
    notes: tuple[str, ...]


async def probe(storage: Storage) -> ProbeReport:
    """Probes the bucket with a few bytes, which it deletes, within PROBE_SECONDS.

    Uses the internal endpoint only. Raises StorageUnavailable, and StorageMisconfigured if the
    bucket cannot be reached or written to; `facts["detail"]` has the cause.
    """
    if wrong := await reach(storage):
        raise StorageMisconfigured(detail=wrong)
    with translate_errors(PROBE_SECONDS):
        async with open_trial(storage) as trial:
            stored, answer = await _put_one(trial)
            write_once = await _writes_once(trial)
            signed_headers = await _binds_headers(trial)
            conditional_copy = await _refuses_changed_source(trial, stored)
            permitted = await _permissions(trial, stored)
    trusted = write_once and signed_headers
    report = ProbeReport(
        seal=Seal.WRITE_ONCE if trusted else Seal.COPY,
        write_once=write_once,
        signed_headers=signed_headers,
        conditional_copy=conditional_copy,
        versioned=answer.versioned,
        permitted=permitted,
        clock_difference=answer.clock_difference,
        notes=(),
    )
    return replace(report, notes=tuple(_notes(report)))


async def reach(storage: Storage) -> str | None:
    """Sends a HEAD of the bucket; returns the problem with the credentials, or None.

    Credentials with narrow rights may permit a PUT but not this request. Raises StorageUnavailable,
    StorageMisconfigured.
    """
    try:
        await ping(storage)
    except StorageMisconfigured as error:
        cause = error.__cause__
        if not isinstance(cause, ClientError):
            raise
        return await _refusal_of(storage, status_of(cause), error)
    except StorageUnavailable as error:
        clause = error.facts.get("detail", "no answer in time")
        raise StorageUnavailable(detail=f"object storage does not answer: {clause}") from error
    return None


async def _refusal_of(storage: Storage, status: int, error: AttacheryError) -> str | None:
    """Distinguishes wrong keys from narrow rights by a request whose refusal has a body."""
    if status == HTTPStatus.NOT_FOUND:
        raise StorageMisconfigured(detail=NO_BUCKET) from error
    code = await _refusal_code(storage)
    if status == HTTPStatus.FORBIDDEN:
        return None if code in DENIALS else refusal_detail(code)
    raise StorageMisconfigured(detail=refusal_detail(code or str(status))) from error


async def _refusal_code(storage: Storage) -> str:
    with translate_errors(storage.options.operation_timeout):
        try:
            await storage.s3.list_objects_v2(Bucket=storage.options.bucket, MaxKeys=1)
        except ClientError as refusal:
            return code_of(refusal)
    return ""


async def _put_one(trial: Trial) -> tuple[StoredObject, Answer]:
    key = trial.new_key()
    answer = await trial.put(await trial.target(key, write_once=False))
    if not answer.accepted:
        detail = (
            "a signed PUT is refused: wrong keys, or keys without s3:PutObject below the prefix"
        )
        raise StorageMisconfigured(detail=detail)
    return await _head(trial, key), answer


async def _head(trial: Trial, key: str) -> StoredObject:
    try:
        found = await trial.objects.head(key)
    except StorageMisconfigured as error:
        detail = "a stored object cannot be read: s3:GetObject or kms:Decrypt is missing"
        raise StorageMisconfigured(detail=detail) from error
    if found is None:
        raise StorageMisconfigured(detail="a stored object is not found")
    return found


async def _writes_once(trial: Trial) -> bool:
    """Whether `If-None-Match` is enforced.

    The first PUT must succeed, a later one must be answered with 412, and one without the header
    must be refused.
    """
    key = trial.new_key()
    target = await trial.target(key, write_once=True)
    first = await trial.put(target)
    before = await trial.objects.head(key)
    again = await trial.put(target, _OTHER_BYTES)
    if not first.accepted or again.status != HTTPStatus.PRECONDITION_FAILED:
        return False
    if before is None or await trial.objects.head(key) != before:
        return False
    unconditional = await trial.target(trial.new_key(), write_once=True)
    if not (await trial.put(unconditional, without="If-None-Match")).refused:
        return False
    return await _refuses_overtaken(trial, key)


async def _refuses_overtaken(trial: Trial, other_key: str) -> bool:
    """Whether the later of two concurrent PUTs of one key is refused.

    A server that checks only at the beginning of a PUT would let it replace verified bytes.
    """
    key, begun, overtaken = trial.new_key(), asyncio.Event(), asyncio.Event()
    target = await trial.target(key, write_once=True)

    async def wait() -> None:
        begun.set()
        await overtaken.wait()

    async with asyncio.TaskGroup() as group:
        late = group.create_task(trial.put(target, _OTHER_BYTES, pause=wait()))
        await begun.wait()
        # One round trip, in which object storage reads the first part of the late PUT.
        await trial.objects.head(other_key)
        first = await trial.put(target)
        before = await trial.objects.head(key)
        overtaken.set()
    unchanged = await trial.objects.head(key) == before
    return first.accepted and late.result().refused and unchanged


async def _binds_headers(trial: Trial) -> bool:
    other_type = await trial.put(
        await trial.target(trial.new_key(), write_once=False),
        instead={"Content-Type": "text/html"},
    )
    longer = await trial.put(
        await trial.target(trial.new_key(), write_once=False), BYTES + _OTHER_BYTES
    )
    return other_type.refused and longer.refused


async def _refuses_changed_source(trial: Trial, stored: StoredObject) -> bool:
    changed = structs.replace(stored, etag=_NO_ETAG)
    try:
        await trial.objects.copy(changed, trial.new_key(), CONTENT_TYPE)
    except PreconditionChanged:
        return True
    except StorageMisconfigured:
        return False
    return False


async def _permissions(trial: Trial, stored: StoredObject) -> frozenset[Permission]:
    """Returns the permissions that the probe could use; deletes `stored`."""
    calls: dict[Permission, Callable[[], Awaitable[object]]] = {
        Permission.LIST: lambda: trial.objects.head(f"{trial.folder}/missing"),
        Permission.GET: lambda: trial.objects.first_bytes(stored, len(BYTES)),
        Permission.COPY: lambda: trial.objects.copy(stored, trial.new_key(), CONTENT_TYPE),
        Permission.DELETE: lambda: trial.objects.delete(stored.key),
    }
    found = {permission for permission, call in calls.items() if await _works(call)}
    return frozenset({Permission.PUT, Permission.HEAD} | found)


async def _works(call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await call()
    except (StorageMisconfigured, PreconditionChanged):
        return False
    return True


def _notes(report: ProbeReport) -> list[str]:
    notes = []
    missing = sorted(set(Permission) - report.permitted)
    if missing:
        notes.append(f"The credentials lack permissions: {', '.join(missing)}.")
    if not report.signed_headers:
        notes.append("Object storage accepts uploads that differ from their signed URL.")
    if not report.write_once:
        notes.append("A signed URL can replace its object, so objects are copied.")
    if not report.conditional_copy:
        notes.append("Object storage copies a source that has changed since its HEAD.")
    if report.versioned:
        notes.append("The bucket is versioned: deleted bytes stay until a lifecycle rule acts.")
    if abs(report.clock_difference or 0.0) > _CLOCK_TOLERANCE:
        notes.append(
            f"Object storage's clock is {report.clock_difference} s ahead of this machine's."
        )
    return notes
