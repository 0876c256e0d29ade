"""TLS contexts for the connections that the service opens itself."""

from __future__ import annotations

import ssl


def client_context(cafile: str | None = None) -> ssl.SSLContext:
    """Verify chain, dates and host name, by the authorities of `cafile` or else of the system.

    Blocks while it reads files. RFC 5280 strict mode is off: Python 3.13 switched it on for default
    contexts, and it refuses private authorities without key identifiers, which older tools made.
    The AWS SDK does not use it either, so the service's own requests trust what the SDK trusts, on
    every Python.
    """
    context = ssl.create_default_context(cafile=cafile)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
