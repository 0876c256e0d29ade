"""A port that several processes are to share, kept for them and from all others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port(listen: str) -> Iterator[str]:
    """The address with the port picked if it was 0; held, but not listened on, during the block.

    Raises OSError if somebody listens there already, even somebody who would share the port.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            address = alone.getsockname()
        with socket.socket(family, kind) as shared:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind(address)
            yield f"{host}:{address[1]}"
    except OSError as error:
        raise OSError(f"cannot listen on {listen}: {error.strerror}") from error
