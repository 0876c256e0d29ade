"""A flame graph of the running service while one RPC is called: `make profile RPC=Complete`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import uvloop

from bench import cores, messages
from bench.effort import Effort
from bench.measuring import Calls, Endless, compare
from bench.processes import ROOT, ServerFailedError
from bench.scenarios import basics, batches
from bench.servers import Service
from bench.world import World, open_world

_SECONDS: Final = 10
_WARM_UP: Final = 2.0
_SAMPLES_A_SECOND: Final = 100
_ROWS: Final = 2_000


async def _start(service: Service) -> Calls:
    requests = Endless([messages.start(service.database.api_key)])
    return Calls("Start", service.process, requests)


async def _complete(service: Service) -> Calls:
    return basics.complete_calls(service, "Complete")


async def _batch_complete(service: Service) -> Calls:
    return batches.batch_calls(service)


async def _resolve(service: Service) -> Calls:
    ids = await service.ready.copy(1_000)
    requests = Endless([messages.resolve(service.database.api_key, ids)])
    return Calls("Resolve", service.process, requests)


async def _list(service: Service) -> Calls:
    await service.ready.copy(_ROWS)
    requests = Endless([messages.list_sessions(service.database.api_key, 100)])
    return Calls("List", service.process, requests)


async def _download(service: Service) -> Calls:
    ids = await service.ready.copy(_ROWS)
    requests = Endless(messages.downloads(service.database.api_key, ids))
    return Calls("CreateDownloadUrl", service.process, requests)


RPCS: Final[Mapping[str, Callable[[Service], Awaitable[Calls]]]] = {
    "Get": basics.get_calls,
    "Start": _start,
    "Complete": _complete,
    "BatchComplete": _batch_complete,
    "Resolve": _resolve,
    "List": _list,
    "CreateDownloadUrl": _download,
}


async def _profile(rpc: str, callers: int, path: Path) -> None:
    effort = Effort(rounds=1, seconds=_SECONDS + 1, warm_up=_WARM_UP, callers=(callers,))
    os.sched_setaffinity(0, cores.OTHERS)
    async with open_world(effort) as world, world.scenario():
        calls = await RPCS[rpc](await world.service())
        await _warm(world, calls)
        load = asyncio.create_task(compare(world, [calls], callers))
        await _record(calls.server.pid, path)
        (found,) = await load
        print(f"{found.rate:,.0f} a second while it was watched, {found.service_cpu:,.0f} us each")


async def _warm(world: World, calls: Calls) -> None:
    """Warms up until the number of calls is known."""
    await calls.measure(world, world.effort.most, 1.0)


async def _record(pid: int, path: Path) -> None:
    await asyncio.sleep(_WARM_UP)
    py_spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.defpath}")
    if py_spy is None:
        raise ServerFailedError("there is no py-spy: `make profile` installs it")
    options = ("--duration", str(_SECONDS), "--rate", str(_SAMPLES_A_SECOND), "--output", str(path))
    process = await asyncio.create_subprocess_exec(
        py_spy,
        "record",
        # Nonblocking, since stopping the process would distort it; and only threads that hold the
        # interpreter, not those that wait.
        *("--pid", str(pid), "--nonblocking", "--gil"),
        *options,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode != 0:
        hint = (
            "it needs the right to look into other processes: root, or kernel.yama.ptrace_scope=0"
        )
        raise ServerFailedError(f"py-spy: {errors.decode(errors='replace').strip()} ({hint})")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profiling", description=__doc__)
    parser.add_argument("--rpc", choices=RPCS, default="Complete")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--output", type=Path, help="an SVG; default .attachery/profile-RPC.svg")
    options = parser.parse_args()
    path: Path = options.output or ROOT / ".attachery" / f"profile-{options.rpc}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        uvloop.run(_profile(options.rpc, options.callers, path))
    except ServerFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
