"""The client of Attachery: upload sessions and attachments from Python.

Example:

    from attachery_client import AttacheryClient

    async with AttacheryClient("attachery:50051", api_key=key) as client:
        attachment = await client.upload("report.pdf", tenant_id="acme")

Every failure is one of `attachery_client.errors`; `attachery_client.testing` has a stand-in for
the unit tests of callers. `upload` and `download` need the extra `transfer`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attachery_client import errors
    from attachery_client.call_info import CallInfo, RateLimit
    from attachery_client.client import AttacheryClient
    from attachery_client.errors import AttacheryError, Violation
    from attachery_client.fields import BatchItem
    from attachery_client.status import from_rpc_error, from_status
    from attachery_client.transfer import MissingExtra, ProxyFailed, TransferFailed

__all__ = [
    "AttacheryClient",
    "AttacheryError",
    "BatchItem",
    "CallInfo",
    "MissingExtra",
    "ProxyFailed",
    "RateLimit",
    "TransferFailed",
    "Violation",
    "errors",
    "from_rpc_error",
    "from_status",
]

# Imported on first use: `attachery_client.cli` has to start before anything imports gRPC.
_MODULES = {
    "AttacheryClient": "client",
    "AttacheryError": "errors",
    "BatchItem": "fields",
    "CallInfo": "call_info",
    "MissingExtra": "transfer",
    "ProxyFailed": "transfer",
    "RateLimit": "call_info",
    "TransferFailed": "transfer",
    "Violation": "errors",
    "errors": "errors",
    "from_rpc_error": "status",
    "from_status": "status",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES[name]}")
    found = module if name == "errors" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
