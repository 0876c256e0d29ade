"""Admitted calls that wait for their request message.

The core hands over a call when its headers arrive, and a caller may never send the message. Such a
call is not authenticated, so it must not keep others out: after a short time it loses its place,
and needs a new one when its message arrives. After a longer time it is refused.

One timer serves all calls, so an admitted call costs only its entry in a queue. Part of
`PrefetchingServer`: `accept_prefetch` states the versions and the switch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from attachery_service.rpc.accept.admission import Admission, Slot
from attachery_service.rpc.accept.core_calls import ArrivedCall
from attachery_service.rpc.accept.refusals import Refusal

# A message that arrives with the headers is read in the next iterations of the event loop.
_PLACE_SECONDS = 0.1
_LOOK_SECONDS = 0.05
# The largest requests have 40 KB.
_MESSAGE_SECONDS = 5.0


class UnreadCalls:
    """The admitted calls of one server that wait for their message, oldest first.

    `max_call_time`: in seconds, for any call. `refuse` answers a call.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        admission: Admission,
        max_call_time: float,
        refuse: Callable[[ArrivedCall, Refusal], None],
    ) -> None:
        self._loop = loop
        self._admission = admission
        self._longest = min(max_call_time, _MESSAGE_SECONDS)
        self._refuse = refuse
        # Slots rather than calls: a slot drops its call when the message arrives.
        self._with_place: deque[Slot] = deque()
        self._without: deque[Slot] = deque()
        self._looking = False

    def add(self, slot: Slot) -> None:
        self._with_place.append(slot)
        if not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK_SECONDS, self._look)

    def look(self) -> None:
        """Takes the places of calls that have waited for long, and refuses older ones."""
        now, refusals = time.monotonic(), self._admission.refusals
        self._take_places(now - _PLACE_SECONDS)
        if self._admission.is_closed:
            self._refuse_older(now - _PLACE_SECONDS, refusals.shutting_down)
        else:
            self._refuse_older(now - self._longest, refusals.message_late)

    def _look(self) -> None:
        self.look()
        self._looking = bool(self._with_place or self._without)
        if self._looking:
            self._loop.call_later(_LOOK_SECONDS, self._look)

    def _take_places(self, too_old: float) -> None:
        waiting = self._with_place
        while waiting and waiting[0].began <= too_old:
            slot = waiting.popleft()
            if slot.unread is not None:
                slot.release()
                self._without.append(slot)

    def _refuse_older(self, too_old: float, refusal: Refusal) -> None:
        waiting = self._without
        while waiting and (waiting[0].unread is None or waiting[0].began <= too_old):
            call = waiting.popleft().unread
            if call is not None and call.is_open():
                self._refuse(call, refusal)
