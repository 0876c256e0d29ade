"""A real Ceph RADOS Gateway: a production S3 server for the storage contract suite.

    python tests/ceph/ceph_server.py

prints endpoint and keys as one line of JSON and serves until SIGTERM or Ctrl-C.
Linux only, as root or as a user who may make user namespaces.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn
from urllib.parse import urlencode, urlsplit

_HERE = Path(__file__).resolve().parent
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
# Below the ports of outgoing connections, so no other process gets one by accident.
_PORTS = range(20_000, 32_000)


class CephError(RuntimeError):
    """The tree could not be built, or the cluster did not start."""


@dataclass(frozen=True, slots=True)
class CephServer:
    """Where the gateway listens, and the keys of its user. Buckets are addressed by path."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)

    @property
    def guest_access_key(self) -> str:
        """The key of a user called guest, with the same secret and the rights of policies only."""
        return f"{self.access_key}GUEST"


@contextmanager
def running_ceph() -> Iterator[CephServer]:
    """Start a fresh, empty cluster and stop it in the end.

    The first call on a machine builds the tree, which takes about a minute. The cluster also dies
    with the thread that started it, so call this from one that lives as long as the tests.
    """
    root = _build_root()
    port = _free_port()
    server = CephServer(
        endpoint=f"http://127.0.0.1:{port}",
        access_key=secrets.token_hex(10).upper(),
        secret_key=secrets.token_hex(20),
    )
    with TemporaryDirectory(prefix="attachery-ceph-") as name:
        logs = Path(name)
        with _launched(root, logs, port, server) as cluster:
            _wait_until_ready(server, cluster, logs)
            yield server


def _build_root() -> Path:
    done = subprocess.run(
        [_HERE / "build-root.sh"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last_words = done.stderr.strip().splitlines()[-1:]
        raise CephError(*last_words or [f"build-root.sh ended with {done.returncode}"])
    return Path(done.stdout.strip())


def _free_port() -> int:
    for port in random.sample(_PORTS, k=100):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise CephError(f"no free port in {_PORTS}")


@contextmanager
def _launched(
    root: Path, logs: Path, port: int, server: CephServer
) -> Iterator[subprocess.Popen[bytes]]:
    command: list[Path | str] = [_HERE / "run.sh", root, logs, str(port)]
    command += [server.access_key, server.secret_key]
    with (logs / "run.out").open("wb") as output:
        cluster = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which stop the cluster last
        )
    try:
        yield cluster
    finally:
        cluster.terminate()
        try:
            cluster.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            cluster.kill()
            cluster.wait()


def _wait_until_ready(server: CephServer, cluster: subprocess.Popen[bytes], logs: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(server):
        if cluster.poll() is not None:
            raise CephError(f"Ceph ended while starting\n{_last_words(logs)}")
        if time.monotonic() > deadline:
            raise CephError(f"Ceph did not start in {_START_SECONDS:.0f} s\n{_last_words(logs)}")
        time.sleep(0.02)


def _answers(server: CephServer) -> bool:
    """Whether the gateway lists the user's buckets, signed by the old and short rules."""
    expires = int(time.time()) + 60
    signature = hmac.digest(server.secret_key.encode(), f"GET\n\n\n{expires}\n/".encode(), "sha1")
    query = urlencode(
        {
            "AWSAccessKeyId": server.access_key,
            "Expires": expires,
            "Signature": base64.b64encode(signature),
        }
    )
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=5)
    try:
        connection.request("GET", f"/?{query}")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last_words(logs: Path) -> str:
    return "\n".join(
        f"{file.name}: {line}"
        for file in sorted(logs.glob("*.out"))
        for line in file.read_text(errors="replace").splitlines()[-5:]
    )


def _exit(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def main() -> None:
    """Serve until told to stop, or until the cluster is gone."""
    signal.signal(signal.SIGTERM, _exit)
    with suppress(KeyboardInterrupt), running_ceph() as server:
        print(json.dumps(asdict(server)), flush=True)
        while _answers(server):
            time.sleep(1)
        sys.exit("Ceph has ended")


if __name__ == "__main__":
    main()
