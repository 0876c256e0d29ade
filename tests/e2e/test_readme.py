"""The README's flow by hand works when pasted into a shell, and its tables are complete."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from attachery_service.settings.service import Settings
from support.service_fixtures import MakeService

MISSING = "curl is missing (Debian: apt-get install curl)"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def curl() -> None:
    """The flow by hand needs curl, which `make test` does not ask of a fresh machine."""
    if shutil.which("curl"):
        return
    if os.environ.get("TEST_ATTACHERY_REQUIRE_CURL"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@pytest.mark.usefixtures("curl")
async def test_the_flow_by_hand_can_be_pasted(make_service: MakeService, tmp_path: Path) -> None:
    service = await make_service(seal="auto")
    key = await service.new_key(tenants=["demo"])
    block = re.search(r"<!-- by hand -->\n```sh\n(.*?)\n```", README, re.DOTALL)
    assert block is not None
    variables = {"ATTACHERY": service.target, "KEY": key}
    printed = await _bash(f"set -eu\n{block[1]}", tmp_path, variables)
    assert '"state": "UPLOAD_SESSION_STATE_READY"' in printed
    assert printed.endswith("the same bytes\n")
    assert (tmp_path / "downloaded.txt").read_bytes() == b"hello\n"


def test_every_setting_is_in_the_readme() -> None:
    for name in Settings.model_fields:
        assert re.search(rf"`(ATTACHERY)?_{name.upper()}`", README), name


async def _bash(script: str, folder: Path, variables: Mapping[str, str]) -> str:
    """What the script prints. Everything it runs is beside this Python or on the usual path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaints.decode()
    return printed.decode()
