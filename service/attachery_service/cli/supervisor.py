"""`attachery serve --processes N`: server processes on one port, kept alive by a supervisor.

The supervisor's `/readyz` answers 200 while at least one process serves: the kernel gives
connections to listening sockets only. A process whose event loop hangs keeps its listening socket,
and with it its share of new connections. So the supervisor no longer counts a process as ready
after 5 s without a report, and replaces it after 10 s.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from attachery_service.cli.errors import CommandError
from attachery_service.cli.ports import reserved_port
from attachery_service.cli.server_process import SERVING, end_hung, running_server
from attachery_service.cli.signals import Stop, stop_signals
from attachery_service.observability.http_endpoint import serve_metrics
from attachery_service.settings.process import in_force
from attachery_service.settings.service import Settings

_log = structlog.get_logger("attachery.supervisor")

# In seconds. A process that served for this long has not failed to start.
_PROVEN = 10.0
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_MAX_FAILURES = 10
# Beyond the drain time of the processes: for closing their connections.
_CLOSE_SECONDS = 10.0
# A silent process is discounted after the first check and ended after the last. Two checks instead
# of one long time limit: a supervisor that was itself suspended sees at most one of them expire,
# and the reports that arrived meanwhile clear the process of suspicion.
_CHECK_SECONDS = 5.0
_CHECKS = 2


class SupervisorError(CommandError):
    """The supervisor cannot keep the requested number of processes alive."""


async def supervise(settings: Settings, count: int) -> int:
    """Keep `count` processes serving until a signal. Raises OSError, SupervisorError."""
    ready: set[int] = set()
    with (
        stop_signals() as stop,
        reserved_port(settings.listen) as listen,
        TemporaryDirectory(prefix="attachery-") as folder,
        _metrics(settings, folder) as registry,
        serve_metrics(
            registry, settings.metrics_listen, lambda: bool(ready) and not stop.requested
        ) as metrics_listen,
    ):
        environment = _environment(
            ATTACHERY_LISTEN=listen,
            ATTACHERY_METRICS_LISTEN="",  # the supervisor has one endpoint for all processes
            PROMETHEUS_MULTIPROC_DIR=folder,
        )
        grace = settings.drain_delay + settings.drain_time + _CLOSE_SECONDS
        supervisor = _Supervisor(environment, folder, grace, _Metrics(registry, count), ready)
        try:
            await _keep_all(supervisor, count, stop, {"listen": listen, "metrics": metrics_listen})
        except ExceptionGroup as group:
            raise _only_supervisor_errors(group) from None
    return 0


def _environment(**variables: str) -> dict[str, str]:
    """Replace `variables` in the supervisor's environment, in upper and lower case.

    The settings read their variables in upper and in lower case.
    """
    kept = {name: value for name, value in os.environ.items() if name.upper() not in variables}
    return {**kept, **variables}


def _only_supervisor_errors(group: ExceptionGroup) -> Exception:
    """Return the first SupervisorError if the group has no other errors, else the group itself.

    A function instead of `except*`: CPython 3.11.2 of Debian 12 wraps an exception raised inside
    `except*` in another group.
    """
    failures, others = group.split(SupervisorError)
    return failures.exceptions[0] if failures is not None and others is None else group


async def _keep_all(
    supervisor: _Supervisor, count: int, stop: Stop, addresses: Mapping[str, object]
) -> None:
    async with asyncio.TaskGroup() as group:
        served = [asyncio.Event() for _ in range(count)]
        keepers = [group.create_task(supervisor.keep_one(event)) for event in served]
        for event in served:
            await event.wait()
        _log.info("serving", **addresses, processes=count, **in_force())
        await stop.wait()
        _log.info("draining")
        for keeper in keepers:
            keeper.cancel()


class _Metrics:
    """The supervisor's own metrics, each also under its former name for one release."""

    def __init__(self, registry: CollectorRegistry, count: int) -> None:
        for name in ("attachery_server_processes_wanted", "attachery_workers_wanted"):
            Gauge(name, "Requested server processes.", registry=registry).set(count)
        self._serving = [
            Gauge(name, "Server processes that serve.", registry=registry)
            for name in ("attachery_server_processes", "attachery_workers")
        ]
        self._restarts = [
            Counter(name, "Server processes started as a replacement.", registry=registry)
            for name in ("attachery_server_process_restarts", "attachery_worker_restarts")
        ]

    @contextmanager
    def one_serving(self) -> Iterator[None]:
        """Count a process as serving during the block."""
        for gauge in self._serving:
            gauge.inc()
        try:
            yield
        finally:
            for gauge in self._serving:
                gauge.dec()

    def count_restart(self) -> None:
        for counter in self._restarts:
            counter.inc()


@dataclass(frozen=True, slots=True)
class _Supervisor:
    """Starts server processes and replaces those that end or hang."""

    environment: Mapping[str, str]
    folder: str
    grace: float
    metrics: _Metrics
    ready: set[int]  # process ids of the processes that can answer calls

    async def keep_one(self, served: asyncio.Event) -> None:
        """Run one process after another.

        Raises SupervisorError if the first one fails to start, or too many fail in a row.
        """
        failures = 0
        while True:
            lived, code = await self._run_one(served)
            failures = 1 if lived > _PROVEN else failures + 1
            text = f"a server process ended with exit code {code}"
            if not served.is_set():
                raise SupervisorError(f"{text} before it served")
            if failures > _MAX_FAILURES:
                raise SupervisorError(f"{text}, after {_MAX_FAILURES} others")
            _log.error("server process ended", exit_code=code)
            await asyncio.sleep(min(_SHORTEST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE))
            self.metrics.count_restart()

    async def _run_one(self, served: asyncio.Event) -> tuple[float, int]:
        """Run a process; return for how many seconds it served, and its exit code."""
        loop = asyncio.get_running_loop()
        async with running_server(self.environment, self.grace) as process:
            try:
                if not await self._next_report(process):
                    return 0.0, await process.wait()
                served.set()
                since = loop.time()
                with self.metrics.one_serving():
                    code = await self._follow(process)
                    return loop.time() - since, code
            finally:
                self.ready.discard(process.pid)
                mark_process_dead(process.pid, self.folder)  # type: ignore[no-untyped-call]

    async def _follow(self, process: asyncio.subprocess.Process) -> int:
        """Track the health of a process until it ends, and end it if it hangs.

        Returns the exit code.
        """
        try:
            while await self._next_report(process, _CHECKS):
                pass
        except TimeoutError:
            _log.error(
                "server process hung", pid=process.pid, silent_seconds=_CHECKS * _CHECK_SECONDS
            )
            await end_hung(process)
        return await process.wait()

    async def _next_report(
        self, process: asyncio.subprocess.Process, checks: int | None = None
    ) -> bool:
        """Record the health that the process reports; return False when it has ended.

        Raises TimeoutError if `checks` checks pass without a report. None waits without a limit:
        the start of a process has time limits of its own.
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


@contextmanager
def _metrics(settings: Settings, folder: str) -> Iterator[CollectorRegistry]:
    registry = CollectorRegistry()
    if settings.metrics_listen is not None:
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    yield registry
