"""Measures the service, its lower bounds and a peer: `make bench`.

It starts everything it needs on free loopback ports, and stops it at the end: PostgreSQL with
durable commits, object storage, `attachery serve`, the peer, the lower bounds. Subjects of one
table take turns, so compare within a table, not between tables.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys

import uvloop

from bench import cores
from bench.document import write
from bench.effort import ALL_CALLERS, Effort
from bench.http2 import CallFailedError
from bench.machine import facts
from bench.processes import ServerFailedError
from bench.report import Report
from bench.scenarios import QUICK, SCENARIOS
from bench.world import open_world


async def _run(names: list[str], effort: Effort) -> int:
    report = Report()
    main = asyncio.current_task()
    assert main is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    os.sched_setaffinity(0, cores.OTHERS)
    async with open_world(effort) as world:
        for name in names:
            gc.collect()
            gc.freeze()
            async with world.scenario():
                await SCENARIOS[name](world, report)
        told = list(facts(await world.postgres_version(), world.folder))
    print("\n".join([*told, "", report.targets_table()]))
    if names == list(SCENARIOS) and effort == Effort():
        print(f"Written to {write(report, told, effort)}.")
    return 0


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise argparse.ArgumentTypeError(f"no such scenario: {', '.join(unknown)}")
    return names or list(SCENARIOS)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _usual(*, quick: bool) -> list[str]:
    return list(QUICK if quick else SCENARIOS)


def main() -> int:
    scenarios = "\n".join(f"  {name:10} {run.__doc__}" for name, run in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"scenarios:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", type=_names, default=None, metavar="NAMES", help="such as get,complete"
    )
    parser.add_argument("--quick", action="store_true", help=f"a little of {', '.join(QUICK)}")
    parser.add_argument("--rounds", type=int, default=Effort().rounds, help="of each subject")
    parser.add_argument("--seconds", type=float, default=Effort().seconds, help="per round")
    parser.add_argument(
        "--callers", type=_numbers, default=ALL_CALLERS, metavar="N,N", help="at a time: 1,8,64"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="part of the rows of large tables")
    options = parser.parse_args()
    chosen = Effort(
        rounds=options.rounds,
        seconds=options.seconds,
        callers=options.callers,
        scale=options.scale,
    )
    effort = Effort.quick() if options.quick else chosen
    if options.quick:
        print("A health check, not a measurement: the figures mean nothing.\n")
    print(f"On {len(cores.ALL)} cores: {cores.describe()}.\n", flush=True)
    try:
        return uvloop.run(_run(options.only or _usual(quick=options.quick), effort))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 130
    except CallFailedError as error:
        print(f"a call failed: {error}", file=sys.stderr)
    except ServerFailedError as error:
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
