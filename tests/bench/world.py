"""The servers of a scenario, each started when it is first used.

PostgreSQL and object storage run for the whole bench; measured servers stop with their scenario.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from attachery_dev.embedded.object_store import running_object_store
from attachery_dev.embedded.postgres import running_postgres
from attachery_service.postgres.migrate import migrate
from bench import cores
from bench.cpu import family
from bench.effort import Effort
from bench.processes import ServerFailedError, ServerProcess, output, running
from bench.servers import BUCKET, Database, Service, Store, make_bucket, new_key, with_templates


@dataclass(slots=True)
class World:
    """`folder` holds the data and the logs of the servers."""

    folder: Path
    effort: Effort
    stack: AsyncExitStack
    _lasting: dict[str, Database | Store] = field(default_factory=dict)
    _servers: dict[object, ServerProcess | Service] = field(default_factory=dict)
    _scope: AsyncExitStack = field(default_factory=AsyncExitStack)
    _postgres_url: str = ""
    _databases: int = 0

    @property
    def postgres_pid(self) -> int:
        """The postmaster's pid; 0 before it runs."""
        if not self._postgres_url:
            return 0
        lines = (self.folder / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()
        return int(lines[0])

    @property
    def store_pids(self) -> list[int]:
        """The pids of object storage's processes."""
        return [store.pid for store in self._lasting.values() if isinstance(store, Store)]

    @asynccontextmanager
    async def scenario(self) -> AsyncIterator[None]:
        """Servers that are started within the block stop with it."""
        async with AsyncExitStack() as self._scope:
            try:
                yield
            finally:
                self._servers.clear()

    async def postgres_version(self) -> str:
        """Such as 18.1."""
        database = await self.database()
        text: str = await database.pool.fetchval("SHOW server_version")
        return text

    async def database(self, name: str = "bench") -> Database:
        """A database for each name."""
        known = self._lasting.get(name)
        if isinstance(known, Database):
            return known
        if not self._postgres_url:
            with cores.on(cores.OTHERS):
                self._postgres_url = await self.stack.enter_async_context(
                    running_postgres(self.folder / "postgres", durable=True)
                )
        url = f"{self._postgres_url.rpartition('/')[0]}/{name}"
        connection = await asyncpg.connect(self._postgres_url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        await migrate(url)
        pool = await self.stack.enter_async_context(
            asyncpg.create_pool(url, min_size=1, max_size=2, command_timeout=600)
        )
        database = Database(url, pool, await new_key(pool))
        self._lasting[name] = database
        return database

    async def stand_in(self) -> Store:
        """The fake object storage."""
        known = self._lasting.get("stand-in")
        if isinstance(known, Store):
            return known
        process = await self.stack.enter_async_context(
            running("stand_in", ["bench.stand_in"], self.folder, on=cores.OTHERS)
        )
        store = Store(f"http://127.0.0.1:{process.port}", process.pid)
        self._lasting["stand-in"] = store
        return store

    async def refusing(self) -> ServerProcess:
        """The server that refuses all calls as cheaply as possible; on all cores."""
        return await self._server("refusing", ["bench.refusing"], on=cores.ALL)

    async def echo(self, *, like_the_service: bool = False) -> ServerProcess:
        """The lower bound of every call."""
        if like_the_service:
            return await self._server("echo_tuned", ["bench.echo", "--like-the-service"])
        return await self._server("echo", ["bench.echo"])

    async def peer(self, database: Database, store: Store) -> ServerProcess:
        return await self._server(
            f"peer_{store.pid}",
            ["bench.peers.fastapi_peer"],
            settings=_settings(database, store, {}),
        )

    async def service(
        self,
        database: Database | None = None,
        store: Store | None = None,
        *,
        workers: int = 1,
        spread: bool = False,
        runner: Sequence[str] = ("attachery_service",),
        **settings: object,
    ) -> Service:
        """Starts the service with these settings, by default with the fake object storage.

        By default it seals by write-once and does not sniff, so that the same steps are compared,
        and has long timeouts, as the machine is busy.

        One process runs on the measured core, several on all; `spread`: one on all, too.
        `runner`: the module, with its first arguments, that runs `serve`.
        """
        database = database or await self.database()
        store = store or await self.stand_in()
        patience = {"database_timeout": 30.0, "s3_timeout": 30.0}
        told = {"seal": "write_once", "sniffing": "off", **patience, **settings}
        names = (database.url, store.endpoint, json.dumps(told, sort_keys=True))
        key = ("service", *names, workers, spread, *runner)
        known = self._servers.get(key)
        if isinstance(known, Service):
            return known
        name = f"service_{len(self._servers)}"
        arguments = [*runner, "serve"]
        all_settings = _settings(database, store, told)
        process = await self._server(
            name,
            [*arguments, f"--workers={workers}"] if workers > 1 else arguments,
            settings=all_settings,
            on=cores.MEASURED if workers == 1 and not spread else cores.ALL,
        )
        service = await with_templates(process, database, store, all_settings)
        self._servers[key] = service
        return service

    def another(self, service: Service) -> AbstractAsyncContextManager[ServerProcess]:
        """Starts another process of this service, with its settings."""
        arguments = ["attachery_service", "serve"]
        return running("another", arguments, self.folder, settings=service.settings)

    def worker(self, service: Service) -> AbstractAsyncContextManager[ServerProcess]:
        """Starts the sweep of this service's database."""
        arguments = ["attachery_service", "worker"]
        return running("worker", arguments, self.folder, settings=service.settings, on=cores.OTHERS)

    async def offers(self, command: str, option: str = "") -> bool:
        """Whether `attachery` has this command, and the command this option."""
        try:
            return option in await output(["attachery_service", command, "--help"], self.folder)
        except ServerFailedError:
            return False

    async def test_store(self) -> Store:
        """The S3 server of the tests."""
        known = self._lasting.get("test store")
        if isinstance(known, Store):
            return known
        before = set(family(os.getpid()))
        with cores.on(cores.OTHERS):
            found = await self.stack.enter_async_context(
                running_object_store(self.folder / "test_store")
            )
        (pid,) = set(family(os.getpid())) - before
        store = Store(found.endpoint, pid, found.access_key, found.secret_key)
        await make_bucket(store)
        self._lasting["test store"] = store
        return store

    async def _server(
        self,
        name: str,
        arguments: list[str],
        *,
        settings: Mapping[str, object] | None = None,
        on: frozenset[int] = cores.MEASURED,
    ) -> ServerProcess:
        known = self._servers.get(name)
        if isinstance(known, ServerProcess):
            return known
        process = await self._scope.enter_async_context(
            running(name, arguments, self.folder, settings=settings, on=on)
        )
        self._servers[name] = process
        return process


@asynccontextmanager
async def open_world(effort: Effort) -> AsyncIterator[World]:
    """Opens a world; removes its folder afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="attachery-bench-"))
    try:
        async with AsyncExitStack() as stack:
            yield World(folder, effort, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(database: Database, store: Store, more: Mapping[str, object]) -> Mapping[str, object]:
    return {
        "listen": "127.0.0.1:0",
        "database_url": database.url,
        "s3_endpoint": store.endpoint,
        "s3_bucket": BUCKET,
        "s3_access_key": store.access_key,
        "s3_secret_key": store.secret_key,
        **more,
    }
