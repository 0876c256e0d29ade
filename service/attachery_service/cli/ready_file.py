"""The file by which a running `attachery dev` tells others how to reach it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from attachery_service.config import Settings


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
    def written_to(self, path: Path | None) -> Iterator[None]:
        """The file is there, whole, for as long as the block runs."""
        if path is None:
            yield
            return
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def settings_of(ready_file: Path | None) -> Settings:
    """The settings of a running `dev`, or those of the environment."""
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
