"""Translates faults of the SDK, of HTTP and of the network into two errors of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from typing import Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    InvalidRegionError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from attachery_service.aio.deadline import WaitBudget, storage_budget, transfer_budget
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.domain.errors import (
    AttacheryError,
    StorageMisconfigured,
    StorageUnavailable,
)
from attachery_service.s3.diagnosis import fault_detail, refusal_detail, setting_detail

# Transient: no response, a partial one, or one that is not S3's. TimeoutError is an OSError.
_PASSING: Final = (
    HTTPClientError,
    BotoConnectionError,
    IncompleteReadError,
    ChecksumError,
    FlexibleChecksumError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
    EOFError,
    # A response without the fields that S3 guarantees, or with other ones.
    KeyError,
    ValueError,
)

# Permanent: the SDK's other errors concern credentials, region, endpoint or bucket name. If
# credentials are expired even after their refresh, the SDK raises a bare RuntimeError.
_STANDING: Final = (BotoCoreError, RuntimeError)

# Transient refusals, recognized by code: their HTTP status is that of an invalid request.
_PASSING_CODES: Final = frozenset({
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
})  # fmt: skip
_PASSING_STATUSES: Final = frozenset({
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
})  # fmt: skip
# Includes redirections, which name another region or endpoint.
_REFUSALS: Final = range(300, 500)


def translate_errors(limit: float) -> AbstractContextManager[None]:
    """Bounds a short request to the rest of the call's storage budget of `limit` seconds.

    Raises StorageUnavailable for a transient fault, including an exceeded limit, and
    StorageMisconfigured for one that requires an operator. Neither contains the original text,
    which may quote keys, hosts and key ids; `__cause__` has it. Cancellation passes through.
    """
    return _bounded(limit, storage_budget())


def transferring(limit: float, budget: WaitBudget | None = None) -> AbstractContextManager[None]:
    """Bounds a copy or read of a whole object, as `translate_errors` does.

    Uses the call's transfer budget, or `budget` if given.
    """
    return _bounded(limit, budget or transfer_budget())


@contextmanager
def _bounded(limit: float, budget: WaitBudget) -> Iterator[None]:
    try:
        with budget, coarse_timeout(budget.left(limit)):
            yield
    except ClientError as error:
        raise fault_of(code_of(error), status_of(error)) from error
    except InvalidRegionError as error:  # also a ValueError
        raise StorageMisconfigured(detail=setting_detail(error)) from error
    except _PASSING as error:
        raise StorageUnavailable(detail=fault_detail(error)) from error
    except _STANDING as error:
        raise StorageMisconfigured(detail=setting_detail(error)) from error


def code_of(error: ClientError) -> str:
    """S3's error code; the HTTP status as text if the response has no body (HEAD)."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status of the refusal; 0 if there was no response."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_changed(error: ClientError) -> bool:
    """Whether the object with this key and ETag is missing or was replaced."""
    if status_of(error) == HTTPStatus.NOT_FOUND:
        return code_of(error) != "NoSuchBucket"
    return status_of(error) == HTTPStatus.PRECONDITION_FAILED


def is_archived(error: ClientError) -> bool:
    """Whether the object's storage class prevents reading its bytes (S3 API, GetObject)."""
    return code_of(error) == "InvalidObjectState"


def fault_of(code: str, status: int = HTTPStatus.BAD_REQUEST) -> AttacheryError:
    """Translates a refusal; an unknown status counts as permanent."""
    if _passes(code, status):
        return StorageUnavailable()
    return StorageMisconfigured(detail=refusal_detail(code))


def _passes(code: str, status: int) -> bool:
    if code in _PASSING_CODES:
        return True
    # A missing feature of the server is permanent, although its status is 5xx.
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return False
    return status in _PASSING_STATUSES or status not in _REFUSALS
