"""Serves Attachery as `make run` does, and all gateways in front of it, until Ctrl-C.

    python examples/gateways/run.py --listen HOST:PORT --data-dir DIR

Calls without a credential of their own use the key of the tenant `demo`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("run", "shared"))
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PURPOSES = {"ATTACHERY_PURPOSES": str(FOLDER / "purposes.toml")}

Processes = list[subprocess.Popen[bytes]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument("--data-dir", default=".attachery", metavar="DIR")
    options = parser.parse_args()
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))
    with TemporaryDirectory() as folder, stopping() as processes:
        place = ["--listen", options.listen, "--data-dir", options.data_dir]
        service = start(processes, Path(folder, "service"), "-m", "attachery_dev", "dev", *place)
        call = ["--target", service["listen"], "--api-key", service["api_key"]]
        for name in NAMES:
            script = str(FOLDER / f"{name}.py")
            own = start(processes, Path(folder, name), script, "--listen", "127.0.0.1:0", *call)
            print(f"{name:14} {own['url']}", flush=True)
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        sys.exit("a process has ended, so the others are stopped")


def start(processes: Processes, ready_file: Path, *arguments: str) -> dict[str, Any]:
    """Starts a process and returns the content of its ready file."""
    command = [sys.executable, *arguments, "--ready-file", str(ready_file)]
    process = subprocess.Popen(command, env={**PURPOSES, **os.environ})
    processes.append(process)
    while not ready_file.exists():
        if process.poll() is not None:
            sys.exit(process.returncode)
        time.sleep(0.05)
    ready: dict[str, Any] = json.loads(ready_file.read_text(encoding="utf-8"))
    return ready


@contextmanager
def stopping() -> Iterator[Processes]:
    """Stops the processes after the block, the last one first."""
    processes: Processes = []
    try:
        yield processes
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(processes):
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
