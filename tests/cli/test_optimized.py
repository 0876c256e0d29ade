"""`python -OO`, which removes docstrings and assertions: errors and commands say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from attachery_client import errors as client_errors
from attachery_service.domain import errors as domain_errors
from support.environments import SOURCES

MESSAGES = """
import json, sys
from attachery_client import ProxyFailed, TransferFailed, errors as client
from attachery_service.domain import errors as domain

def messages(module):
    classes = [c for c in vars(module).values() if isinstance(c, type)]
    return {c.__name__: c().message for c in classes if issubclass(c, module.AttacheryError)}

print(json.dumps([messages(client), messages(domain), __doc__]))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "PYTHONPATH": SOURCES, "LANG": "C.UTF-8"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_error_has_the_same_message() -> None:
    optimized, usual = (json.loads(run(*flags, "-c", MESSAGES).stdout) for flags in (["-OO"], []))
    assert optimized == usual
    of_client, of_service, _ = optimized
    assert len(of_client) > 40
    assert len(of_service) > 40
    assert all([*of_client.values(), *of_service.values()])


@pytest.mark.parametrize("module", [client_errors, domain_errors])
def test_every_class_has_a_sentence_of_its_own(module: ModuleType) -> None:
    classes = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, module.AttacheryError)
    ]
    unexplained = [c.__name__ for c in classes if "summary" not in vars(c)]
    assert (unexplained, len(classes) > 40) == ([], True)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["bucket", "setup", "--help"],
        ["bucket", "setup", "--cors-origin", "https://app.example/"],
        ["migrate"],
        ["keys", "create", "--name", "\t", "--all-tenants", "--scope", "admin"],
    ],
    ids=" ".join,
)
def test_every_command_says_the_same(arguments: list[str]) -> None:
    optimized, usual = (
        run(*flags, "-m", "attachery_service", *arguments) for flags in (["-OO"], [])
    )
    assert (optimized.returncode, optimized.stdout, optimized.stderr) == (
        usual.returncode,
        usual.stdout,
        usual.stderr,
    )
    assert optimized.stdout or optimized.stderr
