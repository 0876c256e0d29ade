"""gRPC's poller never waits for the event loop, and each event wakes the loop."""

from __future__ import annotations

import socket

from attachery_service.rpc.accept.wake_ups import coalesced_wake_ups


def bytes_until_full(writing: socket.socket) -> int:
    for written in range(1_000):
        try:
            writing.send(b"1")
        except BlockingIOError:
            return written
    raise AssertionError("never full")


def test_a_pair_that_is_not_read_holds_up_no_writer_and_still_wakes_the_reader() -> None:
    with coalesced_wake_ups():
        reading, writing = socket.socketpair()
    with reading, writing:
        written = bytes_until_full(writing)
        assert 0 < written < 50
        assert len(reading.recv(1_000)) == written
        assert writing.send(b"1") == 1


def test_other_pairs_stay_as_they_are() -> None:
    with coalesced_wake_ups():
        pass
    reading, writing = socket.socketpair()
    with reading, writing:
        assert writing.getblocking()
        assert all(writing.send(b"1") for _ in range(100))
