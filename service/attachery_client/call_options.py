"""The options of every call of a client: credential, metadata, and the hook for its CallInfo."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType

from attachery_client.call_info import REQUEST_ID_KEY, CallInfo
from attachery_client.fields import new_request_id

ApiKey = str | None
ApiKeySource = ApiKey | Callable[[], ApiKey | Awaitable[ApiKey]]
Metadata = Mapping[str, str | bytes]
OnCall = Callable[[CallInfo], object]

_CREDENTIAL_KEY = "authorization"
_API_KEY = re.compile(r"[\x21-\x7e]+")
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
_KEY = re.compile(r"(?!grpc-)[0-9a-z_.-]+")
_TEXT = re.compile(r"[\x20-\x7e]+")
_BINARY_SUFFIX = "-bin"


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Raises ValueError for a key or metadata that no call can carry."""

    api_key: ApiKeySource
    metadata: Metadata = field(default_factory=dict)
    on_call: tuple[OnCall, ...] = ()

    def __post_init__(self) -> None:
        if not callable(self.api_key):
            _require_valid_key(self.api_key)
        for key, value in self.metadata.items():
            _require_valid_entry(key, value)

    def bound(
        self,
        api_key: ApiKeySource | EllipsisType,
        metadata: Metadata | None,
        on_call: OnCall | None,
    ) -> CallOptions:
        """Another key unless it is `...`, further metadata, and one more hook."""
        return CallOptions(
            self.api_key if isinstance(api_key, EllipsisType) else api_key,
            {**self.metadata, **(metadata or {})},
            self.on_call if on_call is None else (*self.on_call, on_call),
        )

    async def call_metadata(self) -> dict[str, str | bytes]:
        """The metadata of one call. Raises ValueError for an invalid key of a callable."""
        # Plain metadata and not call credentials: gRPC sends those over TLS only, and inside a
        # mesh the channel itself is plain.
        key = await self._current_key()
        identity = {} if key is None else {_CREDENTIAL_KEY: f"Bearer {key}"}
        return {REQUEST_ID_KEY: new_request_id(), **self.metadata, **identity}

    async def _current_key(self) -> ApiKey:
        if not callable(self.api_key):
            return self.api_key
        found = self.api_key()
        key = await found if inspect.isawaitable(found) else found
        _require_valid_key(key)
        return key


def _require_valid_key(key: object) -> None:
    """The error does not repeat the key."""
    if key is not None and not (isinstance(key, str) and _API_KEY.fullmatch(key)):
        raise ValueError("api_key must be printable ASCII without spaces or line ends")


def _require_valid_entry(key: str, value: str | bytes) -> None:
    """The error does not repeat the value, which may be a secret."""
    if key == _CREDENTIAL_KEY:
        raise ValueError("metadata must not contain authorization: the credential is api_key")
    if not _KEY.fullmatch(key):
        raise ValueError(f"metadata key {key!r} must be lower-case ASCII, and not begin with grpc-")
    if key.endswith(_BINARY_SUFFIX):
        if not isinstance(value, bytes):
            raise ValueError(f"metadata {key!r} must be bytes")
    elif not (isinstance(value, str) and _TEXT.fullmatch(value)):
        raise ValueError(f"metadata {key!r} must be printable ASCII")
