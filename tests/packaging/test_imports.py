"""The import contracts hold, and each of them detects a violation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.environments import ROOT

pytestmark = pytest.mark.packaging

ONE_WAY = "layers"
ROOTS = "layers of the composition roots"
STANDARD_LIBRARY = "the domain imports the standard library and msgspec only"
GRPC = "only the rpc package imports gRPC"
POSTGRES = "only the postgres package imports asyncpg"
S3 = "only the s3 package imports an S3 SDK"
RATES = "only the ratelimit package imports limits and redis"
TOKENS = "only the jwt package imports PyJWT"
HTTP = "only s3, jwt and the notification endpoint import aiohttp"
CLIENT = "layers of the distributions"
DEV = "layers of attachery_dev"

# Contract, module, import that breaks it.
VIOLATIONS = [
    (ONE_WAY, "attachery_service/domain/policy.py", "attachery_service.ports.sessions"),
    (ONE_WAY, "attachery_service/ports/sessions.py", "attachery_service.usecases.uploads.sealer"),
    (ONE_WAY, "attachery_service/usecases/uploads/sealer.py", "attachery_service.postgres.rows"),
    (ONE_WAY, "attachery_service/usecases/uploads/sealer.py", "attachery_service.rpc.status"),
    (ONE_WAY, "attachery_service/postgres/rows.py", "attachery_service.rpc.status"),
    (ONE_WAY, "attachery_service/postgres/rows.py", "attachery_service.s3.errors"),
    (ONE_WAY, "attachery_service/s3/signing/urls.py", "attachery_service.postgres.rows"),
    (ONE_WAY, "attachery_service/rpc/server.py", "attachery_service.app.serve"),
    (ONE_WAY, "attachery_service/app/serve.py", "attachery_service.cli.main"),
    (STANDARD_LIBRARY, "attachery_service/domain/policy.py", "grpc"),
    (STANDARD_LIBRARY, "attachery_service/domain/policy.py", "attachery_service.settings.service"),
    (STANDARD_LIBRARY, "attachery_service/usecases/uploads/sealer.py", "structlog"),
    (STANDARD_LIBRARY, "attachery_service/ports/objects.py", "pydantic"),
    (GRPC, "attachery_service/postgres/rows.py", "grpc"),
    (GRPC, "attachery_service/usecases/uploads/sealer.py", "attachery.v1.resources_pb2"),
    (GRPC, "attachery_service/s3/signing/urls.py", "google.protobuf"),
    (POSTGRES, "attachery_service/rpc/server.py", "asyncpg"),
    (POSTGRES, "attachery_service/cli/migrate.py", "asyncpg"),
    (S3, "attachery_service/postgres/rows.py", "aiobotocore"),
    (S3, "attachery_service/rpc/server.py", "botocore.exceptions"),
    (ONE_WAY, "attachery_service/ratelimit/limiter.py", "attachery_service.rpc.status"),
    (RATES, "attachery_service/rpc/server.py", "limits"),
    (RATES, "attachery_service/app/serve.py", "redis"),
    (ONE_WAY, "attachery_service/jwt/claims.py", "attachery_service.rpc.status"),
    (STANDARD_LIBRARY, "attachery_service/usecases/identity/authenticate.py", "jwt"),
    (TOKENS, "attachery_service/rpc/handlers.py", "jwt"),
    (ONE_WAY, "attachery_service/worker/loop.py", "attachery_service.rpc.status"),
    (ONE_WAY, "attachery_service/worker/sweep.py", "attachery_service.postgres.rows"),
    (ONE_WAY, "attachery_service/usecases/maintenance/sweep.py", "attachery_service.worker.loop"),
    (ROOTS, "attachery_service/app/parts.py", "attachery_service.app.serve"),
    (ROOTS, "attachery_service/app/serve.py", "attachery_service.app.worker"),
    (GRPC, "attachery_service/worker/loop.py", "grpc"),
    (POSTGRES, "attachery_service/app/parts.py", "asyncpg"),
    (S3, "attachery_service/worker/sweep.py", "botocore"),
    (
        ONE_WAY,
        "attachery_service/worker/notification_endpoint.py",
        "attachery_service.s3.notifications.events",
    ),
    (HTTP, "attachery_service/worker/object_created_queue.py", "aiohttp"),
    (HTTP, "attachery_service/rpc/server.py", "aiohttp"),
    (HTTP, "attachery_service/app/parts.py", "aiohttp.web"),
    (CLIENT, "attachery_client/retry.py", "attachery_service.domain.errors"),
    (CLIENT, "attachery_service/cli/serve.py", "attachery_dev.running"),
    (DEV, "attachery_dev/embedded/errors.py", "attachery_dev.running"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source roots, to be modified."""
    for root in ("service", "generated"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / root, tmp_path / root, ignore=ignored)
    return tmp_path


def test_all_contracts_are_kept(tree: Path) -> None:
    code, said = _linted(tree)

    assert code == 0, said
    assert f"Contracts: {len(_contracts())} kept, 0 broken." in said


@pytest.mark.sample(2)
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
