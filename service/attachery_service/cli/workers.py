"""`attachery serve --workers N`: several processes on one port, and one that keeps them alive.

A worker is this same command, told by its standard input when to end: at its end of file, which
comes with the supervisor's own death too. It tells by lines on standard output whether it serves.
The supervisor's `/readyz` answers 200 while at least one of them serves: the kernel gives
connections only to those that listen.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from attachery_service.cli.ports import reserved_port
from attachery_service.cli.signals import Stop, stop_signals
from attachery_service.config import Settings
from attachery_service.metrics import serve_metrics
from attachery_service.process import in_force

_log = structlog.get_logger("attachery.workers")

SERVING = "serving"
NOT_SERVING = "not serving"

# In seconds. One that served for so long has not failed to start.
_PROVEN = 10.0
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_MOST_FAILURES = 10
# Beyond what the workers take to drain: for closing what they have opened.
_LAST_WORD = 10.0


class WorkersError(RuntimeError):
    """The number of workers asked for cannot be kept alive; the text says why."""


async def supervise(settings: Settings, count: int) -> int:
    """Keeps `count` workers serving until it is told to stop. Raises OSError, WorkersError."""
    ready: set[int] = set()
    with (
        stop_signals() as stop,
        reserved_port(settings.listen) as listen,
        TemporaryDirectory(prefix="attachery-") as folder,
        _metrics(settings, folder) as registry,
        serve_metrics(
            registry, settings.metrics_listen, lambda: bool(ready) and not stop.asked
        ) as metrics_listen,
    ):
        environment = {
            **os.environ,
            "ATTACHERY_LISTEN": listen,
            "ATTACHERY_METRICS_LISTEN": "",  # one endpoint tells of all of them
            "PROMETHEUS_MULTIPROC_DIR": folder,
        }
        grace = settings.drain_delay + settings.drain_time + _LAST_WORD
        crew = _Crew(environment, folder, grace, _Counts(registry, count), ready)
        try:
            await _keep_all(crew, count, stop, {"listen": listen, "metrics": metrics_listen})
        except ExceptionGroup as group:
            raise _only_workers_errors(group) from None
    return 0


def _only_workers_errors(group: ExceptionGroup) -> Exception:
    """The first WorkersError if there is nothing else in the group, else the group itself.

    A function instead of `except*`: CPython 3.11.2, which Debian 12 has, wraps an exception that
    is raised inside `except*` in another group.
    """
    failures, others = group.split(WorkersError)
    return failures.exceptions[0] if failures is not None and others is None else group


async def _keep_all(crew: _Crew, count: int, stop: Stop, told: Mapping[str, object]) -> None:
    async with asyncio.TaskGroup() as group:
        served = [asyncio.Event() for _ in range(count)]
        keepers = [group.create_task(crew.keep_one(event)) for event in served]
        for event in served:
            await event.wait()
        _log.info("serving", **told, workers=count, **in_force())
        await stop.wait()
        _log.info("draining")
        for keeper in keepers:
            keeper.cancel()


class _Counts:
    """What the supervisor itself counts."""

    def __init__(self, registry: CollectorRegistry, count: int) -> None:
        wanted = Gauge("attachery_workers_wanted", "Workers asked for.", registry=registry)
        wanted.set(count)
        self.serving = Gauge("attachery_workers", "Workers that serve.", registry=registry)
        self.restarts = Counter(
            "attachery_worker_restarts", "Workers started in place of one.", registry=registry
        )


@dataclass(frozen=True, slots=True)
class _Crew:
    environment: Mapping[str, str]
    folder: str
    grace: float
    counts: _Counts
    ready: set[int]  # process ids of the workers that can answer calls

    async def keep_one(self, served: asyncio.Event) -> None:
        """One worker after the other. Raises WorkersError when the first does not get to serve, or
        too many in a row do not stay."""
        failures = 0
        while True:
            lived, code = await self._run_one(served)
            failures = 1 if lived > _PROVEN else failures + 1
            told = f"a worker ended by itself, with exit code {code}"
            if not served.is_set():
                raise WorkersError(f"{told}, before it served")
            if failures > _MOST_FAILURES:
                raise WorkersError(f"{told}; so did {_MOST_FAILURES} before it")
            _log.error("worker ended", exit_code=code)
            await asyncio.sleep(min(_SHORTEST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE))
            self.counts.restarts.inc()

    async def _run_one(self, served: asyncio.Event) -> tuple[float, int]:
        """For how long it served, and how it ended."""
        loop = asyncio.get_running_loop()
        async with _running_worker(self.environment, self.grace) as process:
            try:
                if not await self._next_word(process):
                    return 0.0, await process.wait()
                served.set()
                since = loop.time()
                self.counts.serving.inc()
                try:
                    while await self._next_word(process):
                        pass
                    code = await process.wait()
                    return loop.time() - since, code
                finally:
                    self.counts.serving.dec()
            finally:
                self.ready.discard(process.pid)
                mark_process_dead(process.pid, self.folder)  # type: ignore[no-untyped-call]

    async def _next_word(self, process: asyncio.subprocess.Process) -> bool:
        """Notes whether the worker says that it serves; False when it has ended."""
        line = await process.stdout.readline() if process.stdout is not None else b""
        if line.decode().strip() == SERVING:
            self.ready.add(process.pid)
        else:
            self.ready.discard(process.pid)
        return line != b""


@asynccontextmanager
async def _running_worker(
    environment: Mapping[str, str], grace: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Drained at the end of the block, and killed should that take longer than `grace`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "attachery_service", "serve", "--worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C at the terminal is for the supervisor to pass on
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            _log.error("worker killed", pid=process.pid)
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@contextmanager
def _metrics(settings: Settings, folder: str) -> Iterator[CollectorRegistry]:
    registry = CollectorRegistry()
    if settings.metrics_listen is not None:
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    yield registry
