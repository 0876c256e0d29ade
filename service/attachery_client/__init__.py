"""The client of Attachery: upload sessions and attachments from Python.

Example:

    from attachery_client import AttacheryClient

    async with AttacheryClient("attachery:50051", api_key=key) as client:
        attachment = await client.upload("report.pdf", tenant_id="acme")

Every failure is one of `attachery_client.errors`; `attachery_client.testing` has a stand-in for
the unit tests of callers. `upload` and `download` need `pip install 'attachery[transfer]'`.
"""

from __future__ import annotations

from attachery_client import errors
from attachery_client.client import AttacheryClient
from attachery_client.errors import AttacheryError, Violation
from attachery_client.fields import BatchItem
from attachery_client.status import from_rpc_error, from_status
from attachery_client.transfer import MissingExtra, ProxyFailed, TransferFailed

__all__ = [
    "AttacheryClient",
    "AttacheryError",
    "BatchItem",
    "MissingExtra",
    "ProxyFailed",
    "TransferFailed",
    "Violation",
    "errors",
    "from_rpc_error",
    "from_status",
]
