"""Lower bounds without a server: the cost of a single step.

Run as `python -m bench.floors STEP CALLERS SECONDS [--database URL] [--url URL]`, with the process
settings of the service; prints the number of steps and their CPU time as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeAlias
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import yarl

from attachery.v1 import attachments_pb2, resources_pb2
from attachery_service.s3.http.head_pool import HeadPool, HttpLimits
from attachery_service.s3.http.http1 import head_request
from attachery_service.settings import process

Step: TypeAlias = Callable[[], Awaitable[object]]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Further callers wait in PostgreSQL, not here.
_CONNECTIONS: Final = 16
_SELECT: Final = "SELECT id, state, revision, payload FROM floor WHERE id = $1"
_INSERT: Final = """
INSERT INTO floor (id, state, revision, payload) VALUES ($1, 'pending', 1, $2)
RETURNING id, state, revision, payload
"""
_UPDATE: Final = """
UPDATE floor SET revision = revision + 1 WHERE id = $1 AND state = 'pending'
RETURNING id, state, revision, payload
"""
_PAYLOAD: Final = "x" * 200
_ATTACHMENTS: Final = 1_000


@asynccontextmanager
async def _connections(options: argparse.Namespace) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        connections: list[Connection] = []
        for _ in range(min(options.callers, _CONNECTIONS)):
            connection = await asyncpg.connect(options.database)
            stack.push_async_callback(connection.close)
            connections.append(connection)
        yield connections


async def _ids(connection: Connection) -> list[UUID]:
    return [row["id"] for row in await connection.fetch("SELECT id FROM floor LIMIT 2000")]


@asynccontextmanager
async def _by_id(options: argparse.Namespace, statement: str) -> AsyncIterator[list[Step]]:
    async with _connections(options) as connections:
        ids = itertools.cycle(await _ids(connections[0]))
        statements = [await connection.prepare(statement) for connection in connections]
        yield [lambda s=each: s.fetchrow(next(ids)) for each in statements]  # type: ignore[misc]


@asynccontextmanager
async def _select(options: argparse.Namespace) -> AsyncIterator[list[Step]]:
    async with _by_id(options, _SELECT) as steps:
        yield steps


@asynccontextmanager
async def _update(options: argparse.Namespace) -> AsyncIterator[list[Step]]:
    async with _by_id(options, _UPDATE) as steps:
        yield steps


@asynccontextmanager
async def _insert(options: argparse.Namespace) -> AsyncIterator[list[Step]]:
    async with _connections(options) as connections:
        statements = [await connection.prepare(_INSERT) for connection in connections]
        yield [lambda s=each: s.fetchrow(uuid4(), _PAYLOAD) for each in statements]  # type: ignore[misc]


@asynccontextmanager
async def _head(options: argparse.Namespace) -> AsyncIterator[list[Step]]:
    url = yarl.URL(options.url, encoded=True)

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=options.callers), raise_for_status=True
    ) as http:

        async def head() -> None:
            async with http.head(url):
                pass

        yield [head] * options.callers


@asynccontextmanager
async def _own_head(options: argparse.Namespace) -> AsyncIterator[list[Step]]:
    url = yarl.URL(options.url, encoded=True)
    request = head_request(url.raw_path_qs, {"host": url.authority})
    limits = HttpLimits(connections=options.callers, connect=1, answer=5, idle=12)
    pool = HeadPool(url.origin(), True, limits)

    async def head() -> None:
        answer = await pool.head(request)
        assert answer.status == HTTPStatus.OK

    try:
        yield [head] * options.callers
    finally:
        await pool.close()


@asynccontextmanager
async def _encode(_options: argparse.Namespace) -> AsyncIterator[list[Step]]:
    """One step builds and serialises a response with 1,000 attachments."""

    async def encode() -> None:
        results = [_result(number) for number in range(_ATTACHMENTS)]
        attachments_pb2.ResolveAttachmentsResponse(results=results).SerializeToString()

    yield [encode]


def _result(number: int) -> attachments_pb2.ResolveAttachmentResult:
    attachment_id = f"01890000-0000-7000-8000-{number:012}"
    attachment = resources_pb2.Attachment(
        attachment_id=attachment_id,
        tenant_id="acme",
        filename="quarterly-report.pdf",
        content_type="application/pdf",
        size_bytes=number,
        disposition=resources_pb2.DISPOSITION_ATTACHMENT,
        content_disposition='attachment; filename="quarterly-report.pdf"',
    )
    attachment.create_time.seconds = attachment.complete_time.seconds = 1_760_000_000
    return attachments_pb2.ResolveAttachmentResult(
        attachment_id=attachment_id, attachment=attachment
    )


STEPS: Final[Mapping[str, Callable[[argparse.Namespace], object]]] = {
    "select": _select,
    "insert": _insert,
    "update": _update,
    "head": _head,
    "own-head": _own_head,
    "encode": _encode,
}


async def _measure(steps: Sequence[Step], seconds: float) -> dict[str, float]:
    for step in steps:
        await step()
    began, cpu, done = time.perf_counter(), time.process_time(), 0
    end = began + seconds

    async def repeat(step: Step) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await step()
            done += 1

    async with asyncio.TaskGroup() as group:
        for step in steps:
            group.create_task(repeat(step))
    return {
        "done": done,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
    }


async def _run(options: argparse.Namespace) -> None:
    async with STEPS[options.step](options) as steps:  # type: ignore[attr-defined]
        print(json.dumps(await _measure(steps, options.seconds)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("callers", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--database", default="")
    parser.add_argument("--url", default="")
    with asyncio.Runner(loop_factory=process.prepare()) as runner:
        runner.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
