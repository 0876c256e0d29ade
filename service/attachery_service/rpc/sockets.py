"""The TCP sockets that gRPC's core has open for one port of this process.

The core can neither stop listening nor end a connection without resetting calls that it has
received and not yet handed over, which their callers see as CANCELLED (see
docs/design/stopping.md). The kernel can: to the core it looks like a peer that disconnects.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final
from urllib.parse import unquote

# On Linux a link into /proc; of the process itself on every Unix.
_DESCRIPTORS: Final = "/dev/fd"
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)

# The address and port of a caller.
Peer = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Connection:
    """One accepted connection. Its inode detects that the core has reused the descriptor."""

    peer: Peer
    _descriptor: int
    _inode: int

    def is_open(self) -> bool:
        """Whether the core still has the connection open."""
        try:
            return os.fstat(self._descriptor).st_ino == self._inode
        except OSError:
            return False

    def finish_sending(self) -> None:
        """Closes the sending side, after the bytes that were written before."""
        self._shut_down(socket.SHUT_WR)

    def end(self) -> None:
        """Closes both sides, for a peer that does not close its own."""
        self._shut_down(socket.SHUT_RDWR)

    def _shut_down(self, how: int) -> None:
        with suppress(OSError), _duplicate(self._descriptor) as own:
            if os.fstat(own.fileno()).st_ino == self._inode:
                own.shutdown(how)


def stop_listening(port: int) -> None:
    """Closes the sockets that listen on `port`, so the kernel refuses new connections.

    An idle socket takes over each descriptor, which the core closes later. Without a free
    descriptor for it, the listening socket stays open until the server ends.
    """
    for descriptor, found in _sockets_on(port):
        with suppress(OSError):
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                with socket.socket() as idle:
                    os.dup2(idle.fileno(), descriptor, inheritable=False)


def connections_to(port: int) -> list[Connection]:
    """The accepted connections of `port`; empty if the system does not list descriptors."""
    found = []
    for descriptor, own in _sockets_on(port):
        with suppress(OSError):  # not connected any more, or a socket that listens
            host, peer_port = own.getpeername()[:2]
            inode = os.fstat(own.fileno()).st_ino
            found.append(Connection((_canonical(host), peer_port), descriptor, inode))
    return found


def peer_of(text: str) -> Peer:
    """Parses gRPC's form of an address: `ipv4:127.0.0.1:1234` or `ipv6:%5B::1%5D:1234`."""
    host, _, port = unquote(text).partition(":")[2].rpartition(":")
    return _canonical(host.strip("[]")), int(port) if port.isdecimal() else 0


def _canonical(host: str) -> str:
    """The same text for an IPv4 address and its IPv4-mapped IPv6 address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _sockets_on(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Each socket with this local port: its descriptor, and a duplicate to work with.

    The core's threads may close a descriptor at any moment, and the kernel may reuse its number.
    """
    try:
        descriptors = [int(entry.name) for entry in Path(_DESCRIPTORS).iterdir()]
    except OSError:
        return
    for descriptor in descriptors:
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with _duplicate(descriptor) as own:
                    if own.family in _INTERNET and own.getsockname()[1] == port:
                        yield descriptor, own


@contextmanager
def _duplicate(descriptor: int) -> Iterator[socket.socket]:
    """Raises OSError."""
    with socket.socket(fileno=os.dup(descriptor)) as own:
        yield own
