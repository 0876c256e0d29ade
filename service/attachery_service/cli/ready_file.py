"""The file by which a running `attachery dev` tells others how to reach it."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from attachery_service.embedded.folder import OWNER_LOCK
from attachery_service.settings.service import Settings

DEFAULT_DATA_DIR = Path(".attachery")
READY_FILE = "ready.json"

_EXPLICIT = ("ATTACHERY_DATABASE_URL", "ATTACHERY_S3_BUCKET")


@dataclass(frozen=True, slots=True)
class Ready:
    """What `dev` writes when it is ready; holds secrets, so only its owner may read it."""

    listen: str
    tenant_id: str
    api_key: str
    s3_endpoint: str | None
    s3_bucket: str
    s3_access_key: str | None
    s3_secret_key: str | None
    database_url: str
    metrics: str | None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError."""
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise OSError(f"{path} is not the ready file of a running 'attachery dev'") from error

    @contextmanager
    def written_to(self, *paths: Path) -> Iterator[None]:
        """Writes the files, each whole or not at all, and removes them after the block.

        Raises OSError, and leaves no file behind then either.
        """
        try:
            for path in paths:
                self._write(path)
            yield
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    def _write(self, path: Path) -> None:
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        try:
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def require_writable(path: Path, data_dir: Path) -> None:
    """Checks that a ready file can be written to `path` once the data folder is there.

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


def settings_of(ready_file: Path | None) -> Settings:
    """The settings of a running `dev`, or those of the environment.

    Without a ready file, and without a database or a bucket in the environment, the one in the
    default data folder is used. Raises OSError, ValidationError.
    """
    ready_file = ready_file or _found(os.environ)
    if ready_file is None:
        return Settings()
    ready = Ready.read(ready_file)
    return Settings(
        database_url=SecretStr(ready.database_url),
        s3_endpoint=ready.s3_endpoint,
        s3_bucket=ready.s3_bucket,
        s3_access_key=ready.s3_access_key,
        s3_secret_key=SecretStr(ready.s3_secret_key) if ready.s3_secret_key else None,
    )


def _found(environ: Mapping[str, str]) -> Path | None:
    """The ready file of the default data folder, unless the environment says where to go."""
    path = DEFAULT_DATA_DIR / READY_FILE
    if not path.exists():
        return None
    if any(value for name, value in environ.items() if name.upper() in _EXPLICIT):
        _say(f"using the settings of the environment, not {path}")
        return None
    if not _is_running(path.parent):
        raise OSError(f"{path} is of an 'attachery dev' that was killed: start it again")
    _say(f"using the running 'attachery dev' of {path}")
    return path


def _is_running(data_dir: Path) -> bool:
    """Whether a process still has the lock by which `dev` owns its data folder."""
    try:
        with (data_dir / OWNER_LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _say(text: str) -> None:
    print(f"attachery: {text}", file=sys.stderr)
