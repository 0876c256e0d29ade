"""The commands and snippets of README.md and docs/ work as they are written."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from attachery_client import errors
from attachery_client.testing import FakeAttachery
from attachery_service.domain.policy import Policy
from attachery_service.domain.quota import Limits
from attachery_service.settings.peers import read_peers
from attachery_service.settings.policies import read_policies
from attachery_service.settings.quotas import read_quotas
from support.service_fixtures import MakeService

MISSING = "curl is missing (Debian: apt-get install curl)"
ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
LONGEST_README = 120


@pytest.fixture
def curl() -> None:
    """The flow by hand needs curl, which `make test` does not require of a fresh machine."""
    if shutil.which("curl"):
        return
    if os.environ.get("TEST_ATTACHERY_REQUIRE_CURL"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@pytest.mark.usefixtures("curl")
async def test_the_flow_by_hand_can_be_pasted(make_service: MakeService, tmp_path: Path) -> None:
    service = await make_service(seal="auto")
    key = await service.new_key(tenants=["demo"])
    (script,) = (block for block in _blocks("quickstart.md", "sh") if "grpcurl" in block)
    variables = {"ATTACHERY": service.target, "KEY": key}
    printed = await _bash(f"set -eu\n{script}", tmp_path, variables)
    assert '"state": "UPLOAD_SESSION_STATE_READY"' in printed
    assert printed.endswith("the same bytes\n")
    assert (tmp_path / "downloaded.txt").read_bytes() == b"hello\n"


@pytest.mark.parametrize(
    "page", [README, ROOT / "docs/guides/client.md"], ids=lambda page: page.name
)
async def test_the_python_snippets_upload_and_download(
    make_service: MakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Path
) -> None:
    service = await make_service()
    key = await service.new_key(tenants=["acme"])
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 a report")
    monkeypatch.chdir(tmp_path)
    snippet, *_ = _blocks(page, "python")
    names = await _executed(snippet, target=service.target, key=key)
    assert names["content"] == b"%PDF-1.7 a report"
    (resolved,) = names["resolved"].results
    assert resolved.attachment.filename == "report.pdf"


async def test_the_snippet_of_a_bound_client_reports_its_call(
    make_service: MakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service = await make_service()
    key = await service.new_key(tenants=["acme"])
    _, snippet = _blocks("guides/client.md", "python")
    own = {"fetch_key": lambda: "unused", "their_key": key, "traceparent": "00-1-2-01"}
    names = await _executed(snippet, target=service.target, **own)
    assert len(names["listed"].sessions) == 0
    assert capsys.readouterr().out == "order-4711 1 None\n"


async def test_the_snippet_of_the_fake_makes_calls_fail() -> None:
    (snippet,) = _blocks("guides/testing.md", "python")
    code = f"{snippet}\n    failures = await _failures(attachery)"
    names = await _executed(code, _failures=_failures)
    assert names["failures"] == [errors.RateLimited, errors.Unavailable]


async def _failures(attachery: FakeAttachery) -> list[type[Exception]]:
    """The types of the failures of the first two Starts."""
    found: list[type[Exception]] = []
    for _ in range(2):
        try:
            await attachery.start_upload_session(
                tenant_id="acme", filename="a.txt", content_type="text/plain"
            )
        except errors.AttacheryError as error:
            found.append(type(error))
    return found


def test_the_settings_files_are_valid(tmp_path: Path) -> None:
    purposes, quotas = _blocks("guides/purposes-and-quotas.md", "toml")
    (peers,) = _blocks("guides/authentication.md", "toml")
    for name, text in [("purposes", purposes), ("quotas", quotas), ("peers", peers)]:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert "avatar" in read_policies(tmp_path / "purposes", Policy())
    assert read_quotas(tmp_path / "quotas", Limits()).of("acme").max_pending_sessions == 1000
    assert "spiffe://example.org/mailer" in read_peers(tmp_path / "peers")


@pytest.mark.exhaustive
def test_every_command_and_flag_exists() -> None:
    commands = sorted({tuple(words) for words in _commands()})
    assert commands
    for words in commands:
        verbs = [word for word in words[1:3] if re.fullmatch(r"[a-z-]+", word)]
        flags = {word for word in words if word.startswith("--")}
        told = _help_of(verbs)
        assert flags <= set(re.findall(r"--[a-z0-9-]+", told)), words


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    named = {name for text in texts for name in re.findall(r"(?m)(?:^|`)make ([a-z-]+)", text)}
    assert named <= targets


def test_the_settings_page_is_fresh() -> None:
    script = ROOT / "scripts" / "generate-settings.py"
    subprocess.run([sys.executable, script, "--check"], check=True)


def test_the_links_of_the_readme_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_stays_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def _blocks(page: Path | str, language: str) -> list[str]:
    """The fenced blocks of a page; a relative name is one below docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _commands() -> Iterator[list[str]]:
    """The command lines of `attachery` in all pages."""
    for page in PAGES:
        for block in _blocks(page, "sh"):
            for line in block.splitlines():
                if line.startswith("attachery "):
                    yield shlex.split(line, comments=True)


def _help_of(verbs: list[str]) -> str:
    command = [sys.executable, "-m", "attachery_service", *verbs, "--help"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def _executed(snippet: str, **names: object) -> dict[str, Any]:
    """Runs a snippet as the body of a coroutine; returns its variables."""
    body = textwrap.indent(f"{snippet}\nreturn locals()", "    ")
    scope: dict[str, Any] = dict(names)
    exec(f"async def _snippet():\n{body}", scope)  # noqa: S102 - our own documentation
    found: dict[str, Any] = await scope["_snippet"]()
    return found


async def _bash(script: str, folder: Path, variables: Mapping[str, str]) -> str:
    """Runs a script and returns its output. Commands are those of this Python or of the PATH."""
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
