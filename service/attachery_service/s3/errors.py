"""Where the faults of the SDK, of HTTP and of the network become the two that Attachery knows."""

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

# No answer, half of one, or one that is not S3's. TimeoutError is an OSError.
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
    # An answer without the fields S3 promises, or with others in their place.
    KeyError,
    ValueError,
)

# The rest of the SDK's own errors tell of credentials, region, endpoint or bucket name. Credentials
# that are expired even after their refresh come as a bare RuntimeError.
_STANDING: Final = (BotoCoreError, RuntimeError)

# Refusals that pass: told by their name, for their status is one of a request that is wrong.
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
# Redirections too: they tell of another region or endpoint.
_REFUSALS: Final = range(300, 500)


def bounded(limit: float) -> AbstractContextManager[None]:
    """Bounds a short request to what the call's storage budget of `limit` seconds has left.

    Raises StorageUnavailable for a fault that may pass, an exceeded limit included, and
    StorageMisconfigured for one that needs an operator. Neither repeats any of the original text,
    which may hold keys, hosts and key ids; that stays in `__cause__`. Cancellation passes through.
    """
    return _bounded(limit, storage_budget())


def transferring(limit: float, budget: WaitBudget | None = None) -> AbstractContextManager[None]:
    """As `bounded`, for a copy or read of a whole object, from the call's transfer budget unless
    another one is given."""
    return _bounded(limit, budget or transfer_budget())


@contextmanager
def _bounded(limit: float, budget: WaitBudget) -> Iterator[None]:
    try:
        with budget, coarse_timeout(budget.left(limit)):
            yield
    except ClientError as error:
        raise fault_of(code_of(error), status_of(error)) from error
    except InvalidRegionError as error:  # a ValueError too
        raise StorageMisconfigured(detail=setting_detail(error)) from error
    except _PASSING as error:
        raise StorageUnavailable(detail=fault_detail(error)) from error
    except _STANDING as error:
        raise StorageMisconfigured(detail=setting_detail(error)) from error


def code_of(error: ClientError) -> str:
    """S3's name for the refusal; the status as text where the answer had no body (HEAD)."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status of the refusal, 0 if the answer had none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_changed(error: ClientError) -> bool:
    """Whether the object asked for by key and ETag is gone or another one by now."""
    if status_of(error) == HTTPStatus.NOT_FOUND:
        return code_of(error) != "NoSuchBucket"
    return status_of(error) == HTTPStatus.PRECONDITION_FAILED


def is_archived(error: ClientError) -> bool:
    """Whether the object's storage class keeps its bytes from being read (S3 API, GetObject)."""
    return code_of(error) == "InvalidObjectState"


def fault_of(code: str, status: int = HTTPStatus.BAD_REQUEST) -> AttacheryError:
    """Translates a refusal; one whose status is unknown counts as standing."""
    if _passes(code, status):
        return StorageUnavailable()
    return StorageMisconfigured(detail=refusal_detail(code))


def _passes(code: str, status: int) -> bool:
    if code in _PASSING_CODES:
        return True
    # A server that has not implemented what we need will not have done so by the next attempt.
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return False
    return status in _PASSING_STATUSES or status not in _REFUSALS
