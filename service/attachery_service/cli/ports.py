"""A port reserved for several processes that share it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port(listen: str) -> Iterator[str]:
    """Bind the address without listening during the block; yield it with the actual port.

    Raises OSError if another process listens on the port, even one that would share it.
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
