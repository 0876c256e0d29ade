"""Host names with `_`, which container networks use and the SDK rejects.

The SDK checks the endpoint once, when a client is created, and resolves it again for every call.
The client is created with a stand-in, and a handler of the SDK's own event restores the real
endpoint before each resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_EVENT: Final = "before-endpoint-resolution.s3"
_ENDPOINT: Final = "SDK::Endpoint"


def stand_in(endpoint: str) -> str:
    """Returns an endpoint that the SDK accepts: the same one, if it does."""
    return endpoint.replace("_", "x")


def use_endpoint(client: S3Client, endpoint: str) -> None:
    """Makes every call and signature of this client use `endpoint` instead of its stand-in."""
    if stand_in(endpoint) != endpoint:
        client.meta.events.register(_EVENT, _Replacement(endpoint))


@dataclass(frozen=True, slots=True)
class _Replacement:
    endpoint: str

    def __call__(self, *, builtins: dict[str, object], **_: object) -> None:
        builtins[_ENDPOINT] = self.endpoint
