"""Graceful stop: the first signal requests it, the second one ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_FORCED = 1


class Stop:
    """A request to stop. It cancels the main task if that has not finished starting."""

    def __init__(self, main: asyncio.Task[object]) -> None:
        self._main = main
        self._waiting: asyncio.Event | None = None
        self.requested = False

    def request(self) -> None:
        if self.requested:
            os._exit(_FORCED)
        self.requested = True
        if self._waiting is None:
            self._main.cancel()
        else:
            self._waiting.set()

    def request_once(self) -> None:
        """Request the stop, unless it was requested already."""
        if not self.requested:
            self.request()

    async def wait(self) -> None:
        """Wait for the request."""
        self._waiting = asyncio.Event()
        if not self.requested:
            await self._waiting.wait()


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Stop the block at SIGTERM or SIGINT; a second signal ends the process at once."""
    main, loop = asyncio.current_task(), asyncio.get_running_loop()
    if main is None:
        raise RuntimeError("stop_signals needs a running task")
    stop = Stop(main)
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.request)
    try:
        yield stop
    except asyncio.CancelledError:
        if not stop.requested:
            raise
        main.uncancel()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
