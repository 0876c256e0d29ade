"""Ending in order: the first signal asks, the second one forces."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_FORCED = 1


class Stop:
    """The wish to end, which also cuts short what the main task is still starting."""

    def __init__(self, main: asyncio.Task[object]) -> None:
        self._main = main
        self._waiting: asyncio.Event | None = None
        self.asked = False

    def ask(self) -> None:
        if self.asked:
            os._exit(_FORCED)
        self.asked = True
        if self._waiting is None:
            self._main.cancel()
        else:
            self._waiting.set()

    def ask_once(self) -> None:
        """As `ask`, but never by force."""
        if not self.asked:
            self.ask()

    async def wait(self) -> None:
        """Returns when the process is to end."""
        self._waiting = asyncio.Event()
        if not self.asked:
            await self._waiting.wait()


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """SIGTERM or SIGINT ends the block, in order; another one ends the process at once."""
    main, loop = asyncio.current_task(), asyncio.get_running_loop()
    if main is None:
        raise RuntimeError("there is no task to stop")
    stop = Stop(main)
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.ask)
    try:
        yield stop
    except asyncio.CancelledError:
        if not stop.asked:
            raise
        main.uncancel()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
