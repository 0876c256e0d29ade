"""A clock that is moved for the signers only, so that a test need not wait for a URL to expire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from unittest.mock import patch

import aiobotocore.signers
import botocore.auth
import botocore.crt.auth
from botocore.compat import get_current_datetime

from attachery_service.s3.bucket import endpoint as addresses

# All modules that read the clock: the SDK signs by itself, or through awscrt if installed.
_SIGNERS = (botocore.auth, botocore.crt.auth, aiobotocore.signers)


@contextmanager
def signing_earlier(by: timedelta) -> Iterator[None]:
    """Signs as if it were `by` earlier."""
    with signing_at(lambda: get_current_datetime(False) - by):
        yield


@contextmanager
def signing_at(time: Callable[[], datetime]) -> Iterator[None]:
    """Signs as if it were this time, in UTC."""

    def of_the_sdk(remove_tzinfo: bool = True) -> datetime:
        return time().replace(tzinfo=None) if remove_tzinfo else time()

    with ExitStack() as stack:
        for signer in _SIGNERS:
            stack.enter_context(patch.object(signer, "get_current_datetime", of_the_sdk))
        stack.enter_context(patch.object(addresses, "time", lambda: time().timestamp()))
        yield
