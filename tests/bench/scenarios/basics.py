"""Get, Start and Complete beside their floors and the peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench import echo, http2, messages
from bench.measuring import Calls, Endless, Fresh, Step, Subject, compare
from bench.report import Report
from bench.samples import ratio, ratio_to_sum
from bench.scenarios.signing import signed_head
from bench.servers import Service
from bench.world import World

_ROWS: Final = 2_000


async def echo_calls(world: World, size: int, *, like_the_service: bool = False) -> Calls:
    """Answers of `size` bytes."""
    server = await world.echo(like_the_service=like_the_service)
    request = http2.request(echo.METHOD, b"x" * size)
    name = "echo, the service's process settings" if like_the_service else "echo, stock grpc.aio"
    return Calls(name, server, Endless([request]))


async def get_calls(service: Service, name: str = "Get") -> Calls:
    ids = await service.ready.copy(_ROWS)
    key = service.database.api_key
    return Calls(name, service.process, Endless(messages.gets(key, ids)))


def complete_calls(service: Service, name: str, *, idempotent: bool = False) -> Calls:
    key = service.database.api_key

    async def make(count: int) -> Sequence[http2.Request]:
        return messages.completes(key, await service.pending.copy(count), idempotent=idempotent)

    return Calls(name, service.process, Fresh(make))


async def head_step(service: Service, *, client: str = "aiohttp") -> Step:
    """A HEAD by a signed URL, over aiohttp or the service's `own` client."""
    key = await service.ready.object_key()
    step = "head" if client == "aiohttp" else f"{client}-head"
    return Step(f"signed HEAD, {client}", step, ["--url", await signed_head(service.store, key)])


async def answer_size(calls: Calls) -> int:
    """Bytes of one answer's message."""
    (connection,) = await http2.connect("127.0.0.1", calls.server.port, 1)
    try:
        return len(await connection.call(next(await calls.requests(1))))
    finally:
        connection.close()


async def get(world: World, report: Report) -> None:
    """Get / stock echo / peer."""
    service = await world.service()
    key = service.database.api_key
    peer = await world.peer(service.database, service.store)
    ids = await service.ready.copy(_ROWS)
    ours = await get_calls(service)
    size = await answer_size(ours)
    subjects = [
        await echo_calls(world, size),
        await echo_calls(world, size, like_the_service=True),
        Calls("peer: Get", peer, Endless(messages.peer_gets(key, ids)), rest=True),
        ours,
    ]
    report.section("Get", f"One session by its id, {size} bytes; echoes of the same size.")
    found = [await compare(world, subjects, callers) for callers in world.effort.callers]
    report.series([series for each in found for series in each])
    stock, _, theirs, gets = found[-1]
    report.target("Get per second / stock grpc.aio echo", 1.4, ratio(gets, stock))
    report.target("Get per second / peer", 1.8, ratio(gets, theirs))


async def start(world: World, report: Report) -> None:
    """Start with a PUT target and with a POST form, and the peer's."""
    service = await world.service()
    key = service.database.api_key
    peer = await world.peer(service.database, service.store)
    subjects = [
        Calls("peer: Start", peer, Endless([messages.peer_start(key)]), rest=True),
        Calls("Start, PUT target", service.process, Endless([messages.start(key)])),
        Calls("Start, POST target", service.process, Endless([messages.start(key, sized=False)])),
    ]
    report.section("Start", "A new session and its signed target, durably stored.")
    found = [await compare(world, subjects, callers) for callers in world.effort.callers]
    report.series([series for each in found for series in each])
    theirs, ours, _ = found[-1]
    report.target("Start per second / peer", 4.5, ratio(ours, theirs))


async def complete(world: World, report: Report) -> None:
    """Complete under both seals, with and without a request id, and the peer's."""
    service = await world.service()
    copying = await world.service(seal="copy")
    key = service.database.api_key
    peer = await world.peer(service.database, service.store)

    async def make(count: int) -> Sequence[bytes]:
        return messages.peer_completes(key, await service.pending.copy(count))

    ours = complete_calls(service, "Complete, write-once")
    size = await answer_size(ours)
    subjects: list[Subject] = [
        await echo_calls(world, size, like_the_service=True),
        await head_step(service),
        Calls("peer: Complete", peer, Fresh(make), rest=True),
        ours,
        complete_calls(service, "Complete, write-once, with request id", idempotent=True),
        complete_calls(copying, "Complete, copy"),
    ]
    report.section("Complete", f"Verify, seal, make ready, durably; {size} bytes.")
    found = [await compare(world, subjects, callers) for callers in world.effort.callers]
    report.series([series for each in found for series in each])
    echoes, heads, theirs, completes, *_ = found[-1]
    report.target("Complete (write-once) per second / peer", 7, ratio(completes, theirs))
    report.target(
        "Complete CPU / (echo with the same process settings + signed HEAD)",
        1.2,
        ratio_to_sum(completes, [echoes, heads], lambda sample: sample.service_cpu),
        at_most=True,
    )
