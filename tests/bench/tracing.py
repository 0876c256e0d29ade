"""The Python frames of one call in the running service: `make trace RPC=Start`.

Prints frames of the service and of libraries, the files of the service that they belong to, moves
from one of its files to another, and calls from a lower layer to a higher one. The call is warm,
and alone; the smallest of several is taken, as timers run in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import uvloop

from bench import cores, http2
from bench.effort import Effort
from bench.measuring import Calls
from bench.processes import ServerFailedError
from bench.profiling import RPCS
from bench.world import open_world

_WARM_CALLS: Final = 50
_ATTEMPTS: Final = 7
# In seconds.
_MOMENT: Final = 0.05
_PATIENCE: Final = 10.0
_COLUMNS: Final = ("own", "library", "files", "moves", "upward")


async def _trace(rpc: str) -> Mapping[str, Any]:
    effort = Effort(rounds=1, seconds=0.1, warm_up=0.0, callers=(1,))
    os.sched_setaffinity(0, cores.OTHERS)
    async with open_world(effort) as world, world.scenario():
        output = world.folder / "trace.json"
        service = await world.service(runner=["bench.traced_server", str(output)])
        calls = await RPCS[rpc](service)
        requests = await calls.requests(_WARM_CALLS + _ATTEMPTS)
        (connection,) = await http2.connect("127.0.0.1", calls.server.port, 1)
        for _ in range(_WARM_CALLS):
            await connection.call(next(requests))
        try:
            found = [
                await _one(calls, connection, next(requests), output) for _ in range(_ATTEMPTS)
            ]
        finally:
            connection.close()
    return min(found, key=lambda each: int(each["own"]) + int(each["library"]))


async def _one(
    calls: Calls, connection: http2.GrpcConnection, request: http2.Request, output: Path
) -> Mapping[str, Any]:
    os.kill(calls.server.pid, signal.SIGUSR1)
    await asyncio.sleep(_MOMENT)
    await connection.call(request)
    await asyncio.sleep(_MOMENT)
    os.kill(calls.server.pid, signal.SIGUSR2)
    async with asyncio.timeout(_PATIENCE):
        while (found := _taken(output)) is None:  # noqa: ASYNC110
            await asyncio.sleep(_MOMENT)
    return found


def _taken(output: Path) -> Mapping[str, Any] | None:
    """Reads and removes the file, once the server has written it."""
    if not output.exists():
        return None
    found: Mapping[str, Any] = json.loads(output.read_text())
    output.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tracing", description=__doc__)
    parser.add_argument("--rpc", choices=RPCS, default="Start")
    parser.add_argument("--files", action="store_true", help="list the files with their frames")
    options = parser.parse_args()
    try:
        found = uvloop.run(_trace(options.rpc))
    except ServerFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.rpc}: " + ", ".join(f"{name} {found[name]}" for name in _COLUMNS))
    if options.files:
        for name, frames in found["by_file"]:
            print(f"  {frames:5}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
