"""`--hot-paths off` runs the suite without the code that serves only speed.

All tests must pass either way. Services get the settings below from the environment, including
those that tests start as processes. gRPC reads its part once, when it is imported: in the process
of the tests themselves, it can be off only with `-n`, or with the settings in front.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

import pytest
import uvloop

from attachery_service.settings.process import prepare

SWITCHES: Final = (
    "ATTACHERY_S3_FAST",
    "ATTACHERY_DATABASE_COALESCE",
    "ATTACHERY_RESOLVE_REUSE",
    "ATTACHERY_UVLOOP",
    "ATTACHERY_BATCH_SCHEDULING",
    "ATTACHERY_GRPC_POLLER",
    "ATTACHERY_GRPC_ACCEPT_PREFETCH",
    "ATTACHERY_GC_FREEZE",
)
OFF: Final = dict.fromkeys(SWITCHES, "false")

prepare()  # the first plugin, before any import of gRPC


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hot-paths", choices=("on", "off"), default="on", help="with or without")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--hot-paths") == "off":
        os.environ.update(OFF)
    if os.environ.get("ATTACHERY_UVLOOP") != "false":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def settings() -> dict[str, str]:
    """The settings of `OFF` that apply to this run."""
    return {name: os.environ[name] for name in OFF if name in os.environ}
