"""The machine of a measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import cores

_PACKAGES: Final = (
    "grpcio",
    "protobuf",
    "uvloop",
    "asyncpg",
    "aiobotocore",
    "aiohttp",
    "boto3",
    "fastapi",
    "uvicorn",
)


def facts(postgres: str, data: Path) -> Iterator[str]:
    """Returns a line per fact. `postgres`: its version; `data`: the folder of its files."""
    yield f"{_processor()}, {os.cpu_count()} cores, {_memory()} GiB; {cores.describe()}"
    yield f"{platform.system()} {platform.release()}; data on {_file_system(data)}, commits durable"
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    yield f"{platform.python_implementation()} {platform.python_version()}, PostgreSQL {postgres}"
    yield packages


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _file_system(folder: Path) -> str:
    """The type of the file system that holds a folder."""
    found = ("/", "an unknown file system")
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if folder.is_relative_to(place) and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]
