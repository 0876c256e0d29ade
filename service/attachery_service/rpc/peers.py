"""Who is at the other end of the connection, by the certificate it has shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attachery_service.domain.identity import Principal
from attachery_service.rpc.context import ServicerContext

# The library has verified the certificate, and sorted what it names. A SPIFFE id is there only if
# it is the one URI, as SPIFFE demands.
_NAMES = ("peer_spiffe_id", "peer_dns")


def peer_of(context: ServicerContext, peers: Mapping[str, Principal]) -> Principal | None:
    """The first that is known of the SPIFFE id and the DNS names, in the certificate's order."""
    if not peers:
        return None
    return next((peers[name] for name in _names(context) if name in peers), None)


def _names(context: ServicerContext) -> Iterator[str]:
    shown = context.auth_context()
    for kind in _NAMES:
        for name in shown.get(kind, ()):
            text = name.decode("utf-8", "replace")
            yield text.lower() if kind == "peer_dns" else text
