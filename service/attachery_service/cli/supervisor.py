"""`attachery serve --workers N`: several processes on one port, and one that keeps them alive.

A worker is this same command, told by its standard input when to end: at its end of file, which
comes with the supervisor's own death too. It reports whether it serves by lines on standard output,
at each change and at least once a second. The supervisor's `/readyz` answers 200 while at least one
of them serves: the kernel gives connections only to those that listen. A process whose event loop
hangs keeps its listening socket, and with it its share of new connections. So the supervisor
discounts a process after 5 s of silence, and replaces it after 10 s.
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
from attachery_service.observability.http_endpoint import serve_metrics
from attachery_service.settings.process import in_force
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.workers")

SERVING = "serving"
NOT_SERVING = "not serving"
REPORT_SECONDS = 1.0

# In seconds. One that served for so long has not failed to start.
_PROVEN = 10.0
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_MOST_FAILURES = 10
# Beyond what the workers take to drain: for closing what they have opened.
_LAST_WORD = 10.0
# A silent process is discounted after the first check and ended after the last. Two checks instead
# of one long time limit: a supervisor that was itself suspended sees at most one of them expire,
# and the reports that arrived meanwhile clear the process of suspicion.
_CHECK_SECONDS = 5.0
_CHECKS = 2
# From SIGTERM to SIGKILL for a process that hangs: each second sends it more connections.
_HUNG_GRACE = 2.0


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
        environment = _environment(
            ATTACHERY_LISTEN=listen,
            ATTACHERY_METRICS_LISTEN="",  # one endpoint tells of all of them
            PROMETHEUS_MULTIPROC_DIR=folder,
        )
        grace = settings.drain_delay + settings.drain_time + _LAST_WORD
        crew = _Crew(environment, folder, grace, _Counts(registry, count), ready)
        try:
            await _keep_all(crew, count, stop, {"listen": listen, "metrics": metrics_listen})
        except ExceptionGroup as group:
            raise _only_workers_errors(group) from None
    return 0


def _environment(**variables: str) -> dict[str, str]:
    """The supervisor's environment with `variables` instead of those of the same name in any case.

    The settings read their variables in upper and in lower case.
    """
    kept = {name: value for name, value in os.environ.items() if name.upper() not in variables}
    return {**kept, **variables}


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
                    code = await self._follow(process)
                    return loop.time() - since, code
                finally:
                    self.counts.serving.dec()
            finally:
                self.ready.discard(process.pid)
                mark_process_dead(process.pid, self.folder)  # type: ignore[no-untyped-call]

    async def _follow(self, process: asyncio.subprocess.Process) -> int:
        """Tracks the health of a process until it ends, and ends it if it hangs.

        Returns the exit code.
        """
        try:
            while await self._next_word(process, _CHECKS):
                pass
        except TimeoutError:
            _log.error("worker hung", pid=process.pid, silent_seconds=_CHECKS * _CHECK_SECONDS)
            await _end_hung(process)
        return await process.wait()

    async def _next_word(
        self, process: asyncio.subprocess.Process, checks: int | None = None
    ) -> bool:
        """Notes whether the process reports that it serves; False when it has ended.

        Raises TimeoutError if `checks` checks pass without a report; None waits without a limit,
        for a start has time limits of its own.
        """
        line = await self._next_line(process, checks)
        if line.decode().strip() == SERVING:
            self.ready.add(process.pid)
        else:
            self.ready.discard(process.pid)
        return line != b""

    async def _next_line(self, process: asyncio.subprocess.Process, checks: int | None) -> bytes:
        if process.stdout is None:
            return b""
        if checks is None:
            return await process.stdout.readline()
        for _ in range(checks):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_SECONDS):
                    return await process.stdout.readline()
            self.ready.discard(process.pid)
        raise TimeoutError


async def _end_hung(process: asyncio.subprocess.Process) -> None:
    """Sends SIGTERM, then SIGKILL: a stopped process reacts to nothing else."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_HUNG_GRACE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()


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
