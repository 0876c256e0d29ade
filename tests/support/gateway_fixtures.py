"""The gateways of examples/gateways, as processes in front of services with their purposes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import SecretStr

from support.database_fixtures import temporary_database
from support.environments import ROOT
from support.processes import Process, eventually, started
from support.proxy import Proxy, proxy_of
from support.service_fixtures import ServiceUnderTest, services
from support.store_fixtures import StoreUnderTest, new_bucket

GATEWAYS = ROOT / "examples" / "gateways"
PURPOSES = GATEWAYS / "purposes.toml"


@dataclass(frozen=True)
class RunningGateway:
    """A gateway in a process of its own."""

    process: Process
    url: str


@asynccontextmanager
async def running_gateway(
    folder: Path, name: str, target: str, *arguments: str
) -> AsyncIterator[RunningGateway]:
    """Runs a gateway by its documented command; it must end without output of errors."""
    ready_file = folder / "ready.json"
    options = ("--listen", "127.0.0.1:0", "--target", target, "--ready-file", ready_file)
    script = str(GATEWAYS / f"{name}.py")
    with started(folder, *options, *arguments, program=(script,)) as process:
        await eventually(lambda: process.has_ended or ready_file.exists(), within=30)
        assert not process.has_ended, process.errors
        yield RunningGateway(process, json.loads(ready_file.read_text())["url"])
        assert (await process.stopped(), process.errors) == (0, "")


class MakeGateway(Protocol):
    """Starts the gateway of this name in front of a service."""

    async def __call__(
        self, name: str, service: ServiceUnderTest, *arguments: str
    ) -> RunningGateway: ...


@pytest.fixture(scope="session")
async def make_gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MakeGateway]:
    """Gateways that all tests of a module may share; they are stopped after the run."""
    async with AsyncExitStack() as stack:

        async def make(name: str, service: ServiceUnderTest, *arguments: str) -> RunningGateway:
            folder = tmp_path_factory.mktemp(name)
            running = running_gateway(folder, name, service.target, *arguments)
            return await stack.enter_async_context(running)

        yield make


@pytest.fixture(scope="session")
async def gateway_service(
    postgres_url: str, object_store: StoreUnderTest, raw_s3: Any
) -> AsyncIterator[ServiceUnderTest]:
    """The service behind the gateways."""
    async with (
        temporary_database(postgres_url) as database_url,
        services(database_url, object_store, await new_bucket(raw_s3), raw_s3) as make,
    ):
        yield await make(purposes=PURPOSES)


@pytest.fixture(scope="session")
async def limited_service(
    postgres_url: str, object_store: StoreUnderTest, raw_s3: Any
) -> AsyncIterator[ServiceUnderTest]:
    """A service that accepts 3 calls of each category per hour, of one principal in one tenant."""
    async with (
        temporary_database(postgres_url) as database_url,
        services(database_url, object_store, await new_bucket(raw_s3), raw_s3) as make,
    ):
        limits = dict.fromkeys(("read", "write", "resolve"), "3/hour")
        yield await make(
            purposes=PURPOSES, **{f"rate_limit_{name}": limit for name, limit in limits.items()}
        )


@dataclass(frozen=True)
class FragileService:
    """A service with a database and object storage that can be cut off."""

    service: ServiceUnderTest
    database: Proxy
    storage: Proxy


@pytest.fixture(scope="session")
async def fragile_service(
    postgres_url: str, object_store: StoreUnderTest, raw_s3: Any
) -> AsyncIterator[FragileService]:
    """Uploaders reach object storage directly."""
    async with (
        temporary_database(postgres_url) as database_url,
        proxy_of(database_url) as database,
        proxy_of(object_store.endpoint) as storage,
        services(database_url, object_store, await new_bucket(raw_s3), raw_s3) as make,
    ):
        service = await make(
            purposes=PURPOSES,
            database_url=SecretStr(database.in_front_of(database_url)),
            s3_endpoint=storage.in_front_of(object_store.endpoint),
            s3_public_endpoint=object_store.endpoint,
        )
        yield FragileService(service, database, storage)
