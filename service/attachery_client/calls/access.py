"""The RPCs of AccessService."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from attachery.v1 import access_pb2 as access
from attachery_client import fields
from attachery_client.calls.base import CallsBase


class AccessCalls(CallsBase):
    """Credentials and their rights."""

    async def get_caller(self, *, timeout: float | None = None) -> access.GetCallerResponse:
        """Returns the identity and the rights of this client's own credential.

        `.name`, `.tenant_ids` or `.all_tenants`, `.scopes`, `.expire_time` unless it is valid
        forever, `.attachment_id` for a session token, and `.connection` for a connection token.
        """
        call = self._connection.stubs.access.GetCaller
        return await self._connection.call(call, access.GetCallerRequest(), timeout)

    async def create_connection_token(
        self,
        *,
        tenant_id: str = "",
        subject: str,
        ttl: timedelta | None = None,
        purposes: Collection[str],
        scopes: Collection[str] = (),
        timeout: float | None = None,
    ) -> access.CreateConnectionTokenResponse:
        """Creates a token for one participant: `.token`, a secret until `.expire_time`.

        With it a client can start sessions of these `purposes`, and complete, cancel and get the
        sessions that the `subject` has started; with the scope `attachments.read` it can also get
        attachments and create download URLs. `ttl` is 60 s to 24 h, 1 h by default.

        Raises InvalidRequest and the errors of every call.
        """
        request = access.CreateConnectionTokenRequest(
            tenant_id=tenant_id,
            subject=subject,
            ttl=fields.duration(ttl),
            purposes=purposes,
            scopes=scopes,
        )
        call = self._connection.stubs.access.CreateConnectionToken
        return await self._connection.call(call, request, timeout)

    async def revoke_connection_tokens(
        self, *, tenant_id: str = "", subject: str, timeout: float | None = None
    ) -> access.RevokeConnectionTokensResponse:
        """Revokes all tokens of a participant that were created until `.revoke_time`.

        Every server refuses them within seconds. Raises InvalidRequest and the errors of every
        call.
        """
        request = access.RevokeConnectionTokensRequest(tenant_id=tenant_id, subject=subject)
        call = self._connection.stubs.access.RevokeConnectionTokens
        return await self._connection.call(call, request, timeout)
