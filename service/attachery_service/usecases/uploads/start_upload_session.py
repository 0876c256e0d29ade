"""StartUploadSession: a PENDING session and a signed target for its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.declarations import Declaration
from attachery_service.domain.errors import InvalidRequest, ResourceExhausted, Violation
from attachery_service.domain.identity import Principal
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.new_session import NewSession, StartCommand
from attachery_service.domain.policy import Policy
from attachery_service.domain.quota import Quotas
from attachery_service.domain.sessions import PendingSession, Seal, UploadSession
from attachery_service.domain.transfers import TargetRequest, UploadTarget
from attachery_service.domain.validation import invalid
from attachery_service.ports.sessions import SessionStore
from attachery_service.ports.signing import TargetSigner
from attachery_service.usecases.identity.session_tokens import SessionTokens

METHOD = "StartUploadSession"


class Started(Struct, frozen=True):
    """The session, and its target and token if it can be uploaded to."""

    session: UploadSession
    target: UploadTarget | None = None
    session_token: str | None = None


@dataclass(frozen=True, slots=True)
class StartUploadSession:
    """`put_seal` is the seal of PUTs in this object storage; a form always needs the copy."""

    sessions: SessionStore
    signer: TargetSigner
    quotas: Quotas
    put_seal: Seal
    new_id: Callable[[], UUID]
    tokens: SessionTokens

    async def __call__(self, principal: Principal, command: StartCommand) -> Started:
        """Starts a session, and signs the target for its upload.

        Raises InvalidRequest, RequestIdReused, ResourceExhausted, DatabaseUnavailable,
        StorageMisconfigured.
        """
        request, found = command.request, await self._start(principal, command)
        if found is None:
            raise _deadline_out_of_range(command.policy)
        if request is not None and found.replayed_outcome is not None:
            found.replayed_outcome.require_same_payload(request)
        session = found.session
        if command.validate_only or not isinstance(session, PendingSession):
            return Started(session)
        target = await self.signer.sign_upload(_target(session, command.policy.min_size))
        # A second credential would outlive the revocation of a connection token.
        token = None if principal.connection else await self.tokens.issue(session)
        return Started(session, target, token)

    async def _start(self, principal: Principal, command: StartCommand) -> SessionLookup | None:
        new, limits = self._new_session(principal, command), self.quotas.of(command.tenant_id)
        try:
            return await self.sessions.start(
                new, command.request, limits, dry_run=command.validate_only
            )
        except ResourceExhausted as refusal:
            if principal.connection is None:
                raise
            # A participant does not see how much the others of its tenant have uploaded.
            raise refusal.without("limit", "used") from None

    def _new_session(self, principal: Principal, command: StartCommand) -> NewSession:
        attachment_id = self.new_id()
        return NewSession(
            command=command,
            attachment_id=attachment_id,
            upload_key=self.signer.new_key(command.tenant_id, attachment_id),
            seal=self._seal(command.declaration, command.policy),
            created_by=principal.name,
            subject=principal.subject,
        )

    def _seal(self, declaration: Declaration, policy: Policy) -> Seal:
        # An upload that can be repeated after a mismatch must not be write-once.
        is_form = policy.undeclared_size.takes_form(declaration.size)
        if is_form or not policy.terminal_on_mismatch:
            return Seal.COPY
        return self.put_seal


def _deadline_out_of_range(policy: Policy) -> InvalidRequest:
    least, most = policy.min_ttl.total_seconds(), policy.max_ttl.total_seconds()
    rule = f"must be {least:.0f} s to {most:.0f} s from now"
    return invalid([Violation("expire_time", "INVALID_EXPIRE_TIME", rule)])


def _target(session: PendingSession, min_size: int) -> TargetRequest:
    declared = session.declaration
    return TargetRequest(
        key=session.upload_key,
        content_type=declared.content_type,
        size=declared.size,
        min_size=min_size,
        max_size=session.max_size,
        is_form=session.undeclared_size.takes_form(declared.size),
        checksums=declared.checksums,
        write_once=session.seal is Seal.WRITE_ONCE,
        lifetime=session.time_left,
    )
