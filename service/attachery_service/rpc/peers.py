"""The principal of a connection, by its client certificate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attachery_service.domain.identity import Principal
from attachery_service.rpc.context import ServicerContext

# gRPC has verified the certificate and sorted its names by kind. It lists a SPIFFE id only if the
# certificate has no other URI, as SPIFFE requires.
_NAMES = ("peer_spiffe_id", "peer_dns")


def peer_of(context: ServicerContext, peers: Mapping[str, Principal]) -> Principal | None:
    """The principal of the SPIFFE id, or of the first DNS name that `peers` has."""
    if not peers:
        return None
    return next((peers[name] for name in _names(context) if name in peers), None)


def _names(context: ServicerContext) -> Iterator[str]:
    shown = context.auth_context()
    for kind in _NAMES:
        for name in shown.get(kind, ()):
            text = name.decode("utf-8", "replace")
            yield text.lower() if kind == "peer_dns" else text
