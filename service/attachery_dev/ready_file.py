"""Write the ready file of a running `attachery dev`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from attachery_service.cli.ready_file import Ready


@contextmanager
def written(ready: Ready, *paths: Path) -> Iterator[None]:
    """Write the files atomically, and remove them after the block.

    Raises OSError; then it leaves no file behind either.
    """
    try:
        for path in paths:
            _write(ready, path)
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def require_writable(path: Path, data_dir: Path) -> None:
    """Check that a ready file can be written to `path` once the data folder exists.

    Raises OSError.
    """
    folder = path.resolve().parent
    if path.is_dir():
        raise OSError(f"cannot write the ready file {path}: it is a folder")
    if not folder.exists() and data_dir.resolve().is_relative_to(folder):
        return  # the start creates it
    if not folder.is_dir():
        raise OSError(f"cannot write the ready file {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"cannot write the ready file {path}: {folder} is not writable")


def _write(ready: Ready, path: Path) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(ready), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
