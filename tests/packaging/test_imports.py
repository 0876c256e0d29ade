"""The import contracts hold, and each of them notices what it is there for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from environments import ROOT

pytestmark = pytest.mark.packaging

ONE_WAY = "data flows one way"
STANDARD_LIBRARY = "the domain imports the standard library only"
GRPC = "only the wire speaks gRPC"
POSTGRES = "only the store speaks Postgres"
S3 = "only the storage speaks S3"
RATES = "only the rate limits know limits and Redis"
TOKENS = "only the issuer knows JSON Web Tokens"
HTTP = "only the storage, the issuer and the notification door speak HTTP"
CLIENT = "the client knows nothing of the service"

# Contract, module, import that breaks it.
VIOLATIONS = [
    (ONE_WAY, "attachery_service/domain/policy.py", "attachery_service.ports"),
    (ONE_WAY, "attachery_service/ports.py", "attachery_service.usecases.sealing"),
    (ONE_WAY, "attachery_service/usecases/sealing.py", "attachery_service.store.rows"),
    (ONE_WAY, "attachery_service/usecases/sealing.py", "attachery_service.wire.status"),
    (ONE_WAY, "attachery_service/store/rows.py", "attachery_service.wire.status"),
    (ONE_WAY, "attachery_service/store/rows.py", "attachery_service.storage.faults"),
    (ONE_WAY, "attachery_service/storage/signing.py", "attachery_service.store.rows"),
    (ONE_WAY, "attachery_service/wire/server.py", "attachery_service.app"),
    (ONE_WAY, "attachery_service/app.py", "attachery_service.cli.main"),
    (STANDARD_LIBRARY, "attachery_service/domain/policy.py", "grpc"),
    (STANDARD_LIBRARY, "attachery_service/domain/policy.py", "attachery_service.config"),
    (STANDARD_LIBRARY, "attachery_service/usecases/sealing.py", "structlog"),
    (STANDARD_LIBRARY, "attachery_service/ports.py", "pydantic"),
    (GRPC, "attachery_service/store/rows.py", "grpc"),
    (GRPC, "attachery_service/usecases/sealing.py", "attachery.v1.resources_pb2"),
    (GRPC, "attachery_service/storage/signing.py", "google.protobuf"),
    (POSTGRES, "attachery_service/wire/server.py", "asyncpg"),
    (POSTGRES, "attachery_service/cli/migrate.py", "asyncpg"),
    (S3, "attachery_service/store/rows.py", "aiobotocore"),
    (S3, "attachery_service/wire/server.py", "botocore.exceptions"),
    (ONE_WAY, "attachery_service/limiting/limiter.py", "attachery_service.wire.status"),
    (RATES, "attachery_service/wire/server.py", "limits"),
    (RATES, "attachery_service/app.py", "redis"),
    (ONE_WAY, "attachery_service/issuer/claims.py", "attachery_service.wire.status"),
    (STANDARD_LIBRARY, "attachery_service/usecases/authenticate.py", "jwt"),
    (TOKENS, "attachery_service/wire/interceptor.py", "jwt"),
    (ONE_WAY, "attachery_service/workers/loop.py", "attachery_service.wire.status"),
    (ONE_WAY, "attachery_service/workers/sweeping.py", "attachery_service.store.rows"),
    (ONE_WAY, "attachery_service/usecases/sweep.py", "attachery_service.workers.loop"),
    (ONE_WAY, "attachery_service/composition.py", "attachery_service.app"),
    (GRPC, "attachery_service/workers/loop.py", "grpc"),
    (POSTGRES, "attachery_service/composition.py", "asyncpg"),
    (S3, "attachery_service/workers/sweeping.py", "botocore"),
    (ONE_WAY, "attachery_service/workers/notification_door.py", "attachery_service.storage.events"),
    (HTTP, "attachery_service/workers/arrivals.py", "aiohttp"),
    (HTTP, "attachery_service/wire/server.py", "aiohttp"),
    (HTTP, "attachery_service/composition.py", "aiohttp.web"),
    (CLIENT, "attachery_client/calls.py", "attachery_service.domain.errors"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source roots, to be spoilt."""
    for root in ("service", "generated"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / root, tmp_path / root, ignore=ignored)
    return tmp_path


def test_all_contracts_are_kept(tree: Path) -> None:
    code, said = _linted(tree)

    assert code == 0, said
    assert f"Contracts: {len(_contracts())} kept, 0 broken." in said


@pytest.mark.parametrize(("contract", "module", "imported"), VIOLATIONS)
def test_a_violation_is_noticed(contract: str, module: str, imported: str, tree: Path) -> None:
    with (tree / "service" / module).open("a", encoding="utf-8") as source:
        source.write(f"\nimport {imported}\n")

    code, said = _linted(tree)

    assert code == 1, said
    assert f"{contract} BROKEN" in said


def test_every_contract_is_tried() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(_contracts())


def _linted(tree: Path) -> tuple[int, str]:
    linter = Path(sys.executable).with_name("lint-imports")
    sources = f"{tree / 'service'}{os.pathsep}{tree / 'generated'}"
    done = subprocess.run(
        [linter, "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": sources, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _contracts() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]
