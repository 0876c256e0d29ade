"""Redis for the tests of shared rate limits: Debian's own server, on a free loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

MISSING = "redis-server is missing (Debian: apt-get install redis-server)"

_START_SECONDS = 10.0


@dataclass
class RedisUnderTest:
    """A server without persistence, which can be killed and restarted at the same address."""

    program: str
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.processes.append(
            subprocess.Popen(
                [self.program, *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        self._wait_until_it_answers()

    def kill(self) -> None:
        process = self.processes.pop()
        process.kill()
        process.wait()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1) as connection,
            ):
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)


@pytest.fixture
def redis_server() -> Iterator[RedisUnderTest]:
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("TEST_ATTACHERY_REQUIRE_REDIS"):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    server = RedisUnderTest(program, _free_port())
    server.start()
    yield server
    while server.processes:
        server.kill()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
