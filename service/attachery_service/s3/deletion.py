"""Deletion of many objects, in one request if object storage supports that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from attachery_service.domain.errors import AttacheryError, StorageUnavailable
from attachery_service.s3.client import Storage
from attachery_service.s3.errors import code_of, fault_of, status_of, transferring

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import DeleteObjectsOutputTypeDef

# S3's limit of keys per request.
_AT_ONCE: Final = 1000
# Concurrent requests if each object takes its own.
_AT_A_TIME: Final = 16
_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion"})
_NO_SUCH_REQUEST: Final = frozenset({HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED})

Failed = dict[str, AttacheryError]


async def delete_many(storage: Storage, keys: Sequence[str]) -> Mapping[str, AttacheryError]:
    """Deletes objects by key; returns the error of each object that may still exist.

    A missing object is no error. Takes at most `transfer_timeout` seconds. Raises
    StorageUnavailable or StorageMisconfigured if object storage refuses the request, or its
    response is incomplete.
    """
    failed: Failed = {}
    for start in range(0, len(keys), _AT_ONCE):
        failed |= await _delete_some(storage, keys[start : start + _AT_ONCE])
    return failed


async def _delete_some(storage: Storage, keys: Sequence[str]) -> Failed:
    with transferring(storage.options.transfer_timeout):
        try:
            answer = await storage.s3.delete_objects(
                Bucket=storage.options.bucket,
                Delete={"Objects": [{"Key": key} for key in keys]},
            )
        except ClientError as error:
            if status_of(error) not in _NO_SUCH_REQUEST:
                raise
        else:
            return _not_deleted(keys, answer)
        return await _delete_singly(storage, keys)


def _not_deleted(keys: Sequence[str], answer: DeleteObjectsOutputTypeDef) -> Failed:
    """Every key that the response does not list as deleted."""
    gone = {entry.get("Key") for entry in answer.get("Deleted", [])}
    codes = {entry.get("Key"): entry.get("Code", "") for entry in answer.get("Errors", [])}
    gone |= {key for key, code in codes.items() if code in _GONE}
    return {
        key: fault_of(codes[key]) if key in codes else StorageUnavailable()
        for key in keys
        if key not in gone
    }


async def _delete_singly(storage: Storage, keys: Sequence[str]) -> Failed:
    places, failed = asyncio.Semaphore(_AT_A_TIME), Failed()

    async def delete(key: str) -> None:
        async with places:
            try:
                await storage.s3.delete_object(Bucket=storage.options.bucket, Key=key)
            except ClientError as error:
                if status_of(error) != HTTPStatus.NOT_FOUND or code_of(error) == "NoSuchBucket":
                    failed[key] = fault_of(code_of(error), status_of(error))

    await asyncio.gather(*(delete(key) for key in keys))
    return failed
