"""Process-wide settings: logged at start-up, and without effect where they are switched off."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import pytest
from structlog.testing import capture_logs

from attachery_service.rpc.accept.accept_prefetch import can_prefetch
from attachery_service.settings.process import ProcessSettings, prepare, settle
from support import hot_paths
from support.process_fixtures import Serve
from support.processes import SOURCES

LISTENER_OFF = "-event_engine_listener"
OFF = dict.fromkeys(
    ("uvloop", "batch_scheduling", "grpc_poller", "grpc_accept_prefetch", "gc_freeze"), False
)


async def told(serve: Serve, **settings: object) -> tuple[object, ...]:
    serving = await serve(**settings)
    await serving.start()
    line = await serving.process.logged("serving")
    assert await serving.process.stopped() == 0
    names = ("loop", "batch_scheduling", "grpc_experiments", "grpc_accept_prefetch")
    return tuple(line[name] for name in names)


@pytest.mark.exhaustive
async def test_all_is_on_unless_switched_off(serve: Serve) -> None:
    on = dict.fromkeys(OFF, True)
    permitted = hasattr(os, "SCHED_BATCH")
    assert await told(serve, **on) == ("uvloop", permitted, LISTENER_OFF, can_prefetch())
    inherited = permitted and os.sched_getscheduler(0) == os.SCHED_BATCH
    assert await told(serve, **OFF) == ("asyncio", inherited, "", False)


@pytest.mark.parametrize(
    ("chosen", "used"),
    [
        ("", LISTENER_OFF),
        ("tcp_frame_size_tuning", f"tcp_frame_size_tuning,{LISTENER_OFF}"),
        ("event_engine_listener", "event_engine_listener"),
        (f"{LISTENER_OFF},tcp_frame_size_tuning", f"{LISTENER_OFF},tcp_frame_size_tuning"),
    ],
)
def test_an_operators_own_choice_of_grpc_experiments_is_kept(
    monkeypatch: pytest.MonkeyPatch, chosen: str, used: str
) -> None:
    for name in hot_paths.OFF:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRPC_EXPERIMENTS", chosen)
    monkeypatch.setenv("ATTACHERY_BATCH_SCHEDULING", "false")
    prepare()
    assert os.environ["GRPC_EXPERIMENTS"] == used


def test_an_untested_grpc_keeps_its_default_and_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "1.99.0")
    for name in hot_paths.OFF:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRPC_EXPERIMENTS", "")
    monkeypatch.setenv("ATTACHERY_BATCH_SCHEDULING", "false")
    prepare()
    assert os.environ["GRPC_EXPERIMENTS"] == ""
    with capture_logs() as logged:
        settle(ProcessSettings(gc_freeze=False))
    assert [(line["event"], line["grpc"]) for line in logged] == [
        ("grpc poller not tested with this version", "1.99.0")
    ]


def test_invalid_settings_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_EXPERIMENTS", "")
    monkeypatch.setenv("ATTACHERY_UVLOOP", "perhaps")
    assert prepare() is None
    assert os.environ["GRPC_EXPERIMENTS"] == ""


def test_disabled_features_load_no_modules() -> None:
    loads = "import sys, attachery_service.cli.serve; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loads],
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {"attachery_service.app.serve", "aiohttp"} <= loaded
    assert not loaded & {"jwt", "cryptography", "redis", "aiohttp.web", "boto3", "ministack"}
