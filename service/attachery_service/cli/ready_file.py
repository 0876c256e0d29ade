"""The file in which a running `attachery dev` publishes its addresses and credentials."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from attachery_service.settings.service import Settings

DEFAULT_DATA_DIR = Path(".attachery")
READY_FILE = "ready.json"
# The file in the data folder that `dev` keeps locked while it runs.
OWNER_LOCK = "owner.lock"

_EXPLICIT = ("ATTACHERY_DATABASE_URL", "ATTACHERY_S3_BUCKET")


@dataclass(frozen=True, slots=True)
class Ready:
    """The content of the file. It has secrets, so only its owner may read it."""

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
        """Read the file. Raises OSError."""
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise OSError(f"{path} is not the ready file of a running 'attachery dev'") from error


def settings_of(ready_file: Path | None) -> Settings:
    """Read the settings of a running `dev`, or those of the environment.

    Without a ready file, and without a database or a bucket in the environment, the ready file of
    the default data folder is used. Raises OSError, ValidationError.
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
    """Find the ready file of the default data folder, unless the environment has settings."""
    path = DEFAULT_DATA_DIR / READY_FILE
    if not path.exists():
        return None
    if any(value for name, value in environ.items() if name.upper() in _EXPLICIT):
        _say(f"using the settings of the environment, not {path}")
        return None
    if not _is_running(path.parent):
        raise OSError(f"{path} belongs to an 'attachery dev' that was killed: start it again")
    _say(f"using the running 'attachery dev' of {path}")
    return path


def _is_running(data_dir: Path) -> bool:
    """Check that a process still holds the lock of the data folder."""
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
