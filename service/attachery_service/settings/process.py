"""What holds for the process as a whole, and is set before gRPC is imported.

`grpc.aio` takes its events in a thread of its own, which wakes the loop's thread for each of them.
A scheduler that does not preempt at every wake (SCHED_BATCH), and gRPC's own poller in place of its
event engine's listener, let events pile up and be taken together. With both, and uvloop, an echo
takes 155 us of CPU in place of 270, on the same two cores.

Each is used where it is there and permitted, and can be switched off; `in_force` tells what is.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import mmap
import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_EXPERIMENTS = "GRPC_EXPERIMENTS"
_LISTENER = "event_engine_listener"

# Objects made and not freed; 700 of them are but a few calls at once.
_COLLECT_EVERY = 10_000


class ProcessSettings(BaseSettings):
    """Those of the settings that are read before all others."""

    model_config = SettingsConfigDict(
        env_prefix="ATTACHERY_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    uvloop: bool = Field(default=True, description="Run on uvloop, else on asyncio's own loop.")
    batch_scheduling: bool = Field(
        default=True, description="Run as SCHED_BATCH, where the system lets us."
    )
    grpc_poller: bool = Field(
        default=True, description="Have gRPC read by its poller, not by its event engine."
    )
    gc_freeze: bool = Field(
        default=True, description="Have the garbage collector pass over what starting made."
    )


def prepare() -> LoopFactory | None:
    """Follows the settings; returns what makes the loop to run on, None for asyncio's own.

    Settings that cannot be read are those of the command to refuse.
    """
    try:
        settings = ProcessSettings()
    except ValidationError:
        return None
    if settings.batch_scheduling:
        _schedule_in_batches()
    if settings.grpc_poller:
        _leave_listener_off(os.environ)
    return _uvloop() if settings.uvloop else None


def in_force() -> dict[str, object]:
    """What the running loop's process really runs with, for the log."""
    return {
        "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
        "batch_scheduling": _is_batch(),
        "grpc_experiments": os.environ.get(_EXPERIMENTS, ""),
    }


def settle(settings: ProcessSettings) -> None:
    """Once the process has started: what is there now stays, and calls leave few cycles behind."""
    if settings.gc_freeze:
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_EVERY, *gc.get_threshold()[1:])


def _uvloop() -> LoopFactory:
    import uvloop  # noqa: PLC0415 - only where it is wanted

    return uvloop.new_event_loop


def _schedule_in_batches() -> None:
    """For this thread, and all that it starts. A process with a class of its own keeps it."""
    with suppress(AttributeError, OSError):  # not Linux; or not permitted, as seccomp may say
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _is_batch() -> bool:
    with suppress(AttributeError, OSError):
        return os.sched_getscheduler(0) == os.SCHED_BATCH
    return False


def _leave_listener_off(environment: MutableMapping[str, str]) -> None:
    """Unless somebody has chosen already, or this gRPC has no such experiment, and would say so."""
    chosen = environment.get(_EXPERIMENTS, "")
    if _LISTENER not in chosen and _is_known_to_grpc(_LISTENER):
        environment[_EXPERIMENTS] = f"{chosen},-{_LISTENER}" if chosen else f"-{_LISTENER}"


def _is_known_to_grpc(experiment: str) -> bool:
    """Looked up in its library: once it is imported the choice has been made."""
    package = importlib.util.find_spec("grpc")
    if package is None or package.origin is None:
        return False
    libraries = (Path(package.origin).parent / "_cython").glob("cygrpc*.so")
    return any(_contains(library, experiment.encode()) for library in libraries)


def _contains(library: Path, word: bytes) -> bool:
    with (
        library.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(word) >= 0
