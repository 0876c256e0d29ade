"""Time, moved for the signer alone, so that nobody has to wait for a URL to expire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from unittest.mock import patch

import aiobotocore.signers
import botocore.auth
import botocore.crt.auth
from botocore.compat import get_current_datetime

# All that take the time: the SDK signs by itself or, where it finds awscrt, through that.
_SIGNERS = (botocore.auth, botocore.crt.auth, aiobotocore.signers)


@contextmanager
def signing_earlier(by: timedelta) -> Iterator[None]:
    """Signs as if it were that much earlier."""

    def then(remove_tzinfo: bool = True) -> datetime:
        now: datetime = get_current_datetime(remove_tzinfo)
        return now - by

    with ExitStack() as stack:
        for signer in _SIGNERS:
            stack.enter_context(patch.object(signer, "get_current_datetime", then))
        yield
