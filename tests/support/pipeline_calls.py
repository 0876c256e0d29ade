"""Calls for the steps of the pipeline, with as much of gRPC's context as they read."""

from __future__ import annotations

from typing import Any

import grpc

from attachery_service.domain.identity import Principal, Scope
from attachery_service.rpc.pipeline.calls import Call


class Rpc:
    """Metadata, deadline and address of a call; `sent` has its response."""

    def __init__(
        self,
        *metadata: tuple[str, str],
        remaining: float | None = None,
        names: dict[str, list[bytes]] | None = None,
    ) -> None:
        self._metadata = metadata
        self._remaining = remaining
        self._names = names or {}
        self.sent: list[Any] = []

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def time_remaining(self) -> float | None:
        return self._remaining

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._names

    def add_done_callback(self, _callback: object) -> None:
        pass

    def set_trailing_metadata(self, trailers: object) -> None:
        self.sent.append(trailers)

    async def write(self, message: bytes) -> None:
        self.sent.append(message)

    async def abort(self, code: grpc.StatusCode, message: str, trailers: object) -> None:
        self.sent.append((code, message, trailers))
        raise grpc.aio.AbortError


def call(*metadata: tuple[str, str], **fields: Any) -> Call:
    rpc: Any = fields.pop("rpc", None) or Rpc(*metadata)
    return Call(**{"method": "/s/M", "rpc": rpc, "request": b"", **fields})


def principal(
    *scopes: Scope, tenants: frozenset[str] | None = None, name: str = "caller"
) -> Principal:
    return Principal(name=name, tenants=tenants, scopes=frozenset(scopes))
