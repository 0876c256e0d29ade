"""The time that callers wait while PostgreSQL does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from attachery.v1 import upload_sessions_pb2, upload_sessions_pb2_grpc
from bench.cpu import family
from bench.report import Report
from bench.samples import Ratio
from bench.servers import TENANT, Service
from bench.world import World

_CALLERS: Final = 64
_TIMEOUT: Final = 2.0
# In seconds; the cached keys are older.
_KEYS_KEPT: Final = 1.0
_LONGEST_CALL: Final = 300.0
_MS: Final = 1_000


async def outage(world: World, report: Report) -> None:
    """64 callers whose cached keys are too old, with PostgreSQL stopped by SIGSTOP."""
    service = await world.service(database_timeout=_TIMEOUT, key_cache_time=_KEYS_KEPT)
    (attachment_id,) = await service.ready.copy(1)
    report.section(
        "A silent database",
        f"{_CALLERS} Gets at once; the database timeout is {_TIMEOUT:g} s, and the keys kept are"
        f" older than {_KEYS_KEPT:g} s. PostgreSQL is stopped with SIGSTOP, then goes on.",
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.process.port}") as channel:
        gets = _Gets(channel, service, str(attachment_id))
        rows = []
        async with asyncio.timeout(_LONGEST_CALL):
            before = await gets.all_at_once()
            await asyncio.sleep(2 * _KEYS_KEPT)
            with _stopped(world.postgres_pid):
                silent = await gets.all_at_once()
            recovery = await gets.until_all_are_ok()
        for name, found in (("before", before), ("PostgreSQL stopped", silent)):
            rows.append(_row(name, *found))
    columns = ("Gets", "answers", "fastest ms", "p50 ms", "slowest ms")
    report.table(columns, rows)
    report.note(f"All {_CALLERS} are answered OK again {recovery:.2f} s after it goes on.")
    slowest = max(silent[0]) / _TIMEOUT
    report.target(
        "slowest refusal while PostgreSQL is silent / database timeout",
        1.25,
        Ratio(slowest, slowest, slowest),
        at_most=True,
    )


_Answers = tuple[list[float], Counter[str]]


class _Gets:
    """The same Get, from many concurrent callers."""

    def __init__(self, channel: grpc.aio.Channel, service: Service, attachment_id: str) -> None:
        self._stub: Any = upload_sessions_pb2_grpc.UploadSessionServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {service.database.api_key}"),)
        self._request = upload_sessions_pb2.GetUploadSessionRequest(
            tenant_id=TENANT, attachment_id=attachment_id
        )

    async def all_at_once(self) -> _Answers:
        """Returns the duration of each call in seconds, and the number of calls by status."""
        codes: Counter[str] = Counter()
        seconds = await asyncio.gather(*(self._one(codes) for _ in range(_CALLERS)))
        return seconds, codes

    async def until_all_are_ok(self) -> float:
        """Returns the seconds until the end of the first round without a refusal."""
        began = time.perf_counter()
        while (await self.all_at_once())[1] != {"OK": _CALLERS}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return time.perf_counter() - began

    async def _one(self, codes: Counter[str]) -> float:
        began = time.perf_counter()
        try:
            await self._stub.GetUploadSession(self._request, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += 1
        else:
            codes["OK"] += 1
        return time.perf_counter() - began


def _row(name: str, seconds: list[float], codes: Counter[str]) -> tuple[str, ...]:
    ordered = [f"{each * _MS:,.0f}" for each in sorted(seconds)]
    answers = ", ".join(f"{count} {code}" for code, count in codes.items())
    return (name, answers, ordered[0], ordered[len(ordered) // 2], ordered[-1])


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    processes = family(pid)
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in reversed(processes):
            os.kill(each, signal.SIGCONT)
