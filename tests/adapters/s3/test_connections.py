"""Connections for HEADs: a bounded number, reused in order, each response to its own caller."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from attachery_service.s3.http.head_pool import HeadPool, HttpLimits
from attachery_service.s3.http.http1 import HeadConnection, HeadResponse, head_request
from support.bad_stores import ScriptedStore, one_by_one, scripted_store, tired_store
from support.processes import eventually

LONG = 100.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
FOUND = HeadResponse(200, {"content-length": "5"})


def echo(head: str) -> bytes:
    """The response to this request, and to no other."""
    return f"HTTP/1.1 200 OK\r\netag: {head.split(' ')[1][1:]}\r\n\r\n".encode()


def told(key: object) -> HeadResponse:
    return HeadResponse(200, {"etag": str(key)})


@asynccontextmanager
async def connections_to(
    endpoint: str,
    *,
    most: int = 1,
    connect: float = LONG,
    answer: float = LONG,
    idle: float = LONG,
    tls: ssl.SSLContext | bool = True,
) -> AsyncIterator[HeadPool]:
    limits = HttpLimits(connections=most, connect=connect, answer=answer, idle=idle)
    connections = HeadPool(URL(endpoint), tls, limits)
    try:
        yield connections
    finally:
        await connections.close()


def asking(connections: HeadPool, key: object) -> asyncio.Task[HeadResponse]:
    return asyncio.create_task(connections.head(head_request(f"/{key}", {"host": "store"})))


def leave_idle(pool: HeadPool) -> None:
    """Makes the only idle connection look as if it had been idle for LONG."""
    ((connection, released),) = pool._idle
    pool._idle[:] = [(connection, released - LONG)]


async def works(connections: HeadPool, most: int) -> None:
    """Checks that the maximum number of connections can still be used concurrently."""
    keys = [f"works-{number}" for number in range(3 * most)]
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(asking(connections, key) for key in keys))
    assert answers == [told(key) for key in keys]


@asynccontextmanager
async def one_held(
    store: ScriptedStore, connections: HeadPool
) -> AsyncIterator[asyncio.Task[HeadResponse]]:
    """A HEAD of `held` that the server does not answer until the end of the context."""
    store.may_answer.clear()
    held = asking(connections, "held")
    await eventually(lambda: store.keys == ["held"])
    yield held
    store.may_answer.set()


@pytest.mark.parametrize("patience", [1, 2, 3])
async def test_a_connection_the_store_gave_up_is_replaced(patience: int) -> None:
    async with (
        tired_store(ANSWER, patience) as store,
        connections_to(store.endpoint) as connections,
    ):
        assert [await asking(connections, "a") for _ in range(6)] == [FOUND] * 6

        assert store.answered == 6
        assert store.connections == -(-6 // patience)


async def test_a_replaced_connection_is_not_replaced_again() -> None:
    async with (
        scripted_store(one_by_one(ANSWER, None, None, ANSWER)) as store,
        connections_to(store.endpoint) as connections,
    ):
        await asking(connections, "a")

        with pytest.raises(ConnectionError):
            await asking(connections, "a")

        assert store.asked_on == [1, 1, 2]
        assert await asking(connections, "a") == FOUND


async def test_a_connection_closed_while_idle_is_replaced() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint, most=2) as connections:
        await works(connections, 2)
        for writer in store.writers:
            writer.close()
        await eventually(lambda: store.ended == {1, 2})

        await works(connections, 2)

        assert len(store.writers) == 4
        assert len(connections._open) == 2


async def test_unsolicited_bytes_are_no_response() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint) as connections:
        await asking(connections, "a")
        store.writers[0].write(echo("HEAD /a"))
        await eventually(lambda: store.ended == {1})

        assert await asking(connections, "b") == told("b")

        assert store.asked_on == [1, 2]


async def test_the_last_given_back_is_used_first() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint, most=4) as connections:
        store.may_answer.clear()
        asked = [asking(connections, number) for number in range(4)]
        await eventually(lambda: len(store.heads) == 4)
        store.may_answer.set()
        await asyncio.gather(*asked)

        for _ in range(5):
            await asking(connections, "a")

        assert len(store.writers) == 4
        assert len(set(store.asked_on[4:])) == 1


async def test_no_more_connections_than_allowed_are_made() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint, most=3) as connections:
        await works(connections, 50)

        assert len(store.writers) <= 3


async def test_waiting_callers_are_served_in_the_order_of_asking() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint) as connections:
        async with one_held(store, connections) as held:
            waiting = [asking(connections, number) for number in range(10)]
            await asyncio.sleep(0)

        assert await asyncio.gather(held, *waiting) == [told("held"), *map(told, range(10))]

        assert store.keys == ["held", *map(str, range(10))]


async def test_the_response_to_a_cancelled_caller_reaches_no_other() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint) as connections:
        async with one_held(store, connections) as held:
            next_one = asking(connections, "next")
            held.cancel()

        with pytest.raises(asyncio.CancelledError):
            await held
        assert await next_one == told("next")
        assert store.asked_on == [1, 2]


async def test_a_cancelled_caller_leaves_the_queue() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint) as connections:
        async with one_held(store, connections) as held:
            first, second = asking(connections, "first"), asking(connections, "second")
            await asyncio.sleep(0)
            first.cancel()

        assert [await held, await second] == [told("held"), told("second")]
        assert store.keys == ["held", "second"]


@pytest.mark.parametrize("answers", ["in-time", "late", "none"])
async def test_a_caller_cancelled_at_any_moment_takes_no_connection_along(answers: str) -> None:
    """`moment`: the number of loop iterations before the cancellation."""
    chosen = random.Random(0)  # noqa: S311
    script = (lambda _: None) if answers == "none" else echo
    async with (
        scripted_store(script) as store,
        connections_to(store.endpoint, most=2) as connections,
    ):
        for moment in range(40):
            if answers == "late":
                store.may_answer.clear()
            keys = [f"{moment}-{number}" for number in range(6)]
            tasks = [asking(connections, key) for key in keys]
            for _ in range(moment):
                await asyncio.sleep(0)
            for task in chosen.sample(tasks, 4):
                task.cancel()
            store.may_answer.set()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            for key, end in zip(keys, ends, strict=True):
                assert isinstance(end, BaseException) or end == told(key)
        store.script = echo

        await works(connections, 2)


async def test_a_failed_connection_leaves_its_slot_to_the_next() -> None:
    async with scripted_store(echo) as store:
        gone = store.endpoint
    async with connections_to(gone) as connections:
        asked = [asking(connections, number) for number in range(5)]

        ends = await asyncio.gather(*asked, return_exceptions=True)

    assert [isinstance(end, OSError) for end in ends] == [True] * 5


async def test_a_silent_server_times_out_and_its_connection_is_closed() -> None:
    async with (
        scripted_store(echo) as store,
        connections_to(store.endpoint, answer=0.5) as connections,
    ):
        async with one_held(store, connections) as held:
            with pytest.raises(TimeoutError):
                await held

        await eventually(lambda: 1 in store.ended)
        assert await asking(connections, "b") == told("b")
        assert store.asked_on == [1, 2]


async def test_a_response_in_time_does_not_time_out_later() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint) as connections:
        await asking(connections, "a")

        ((connection, _),) = connections._idle
        assert connection._timer is not None
        assert connection._timer.cancelled()


async def test_a_response_after_a_cancellation_is_discarded() -> None:
    """Uvloop may read the response before the caller's task is cancelled."""
    loop = asyncio.get_running_loop()
    async with scripted_store(echo) as store:
        url = URL(store.endpoint)
        _, connection = await loop.create_connection(
            lambda: HeadConnection(loop, LONG), "127.0.0.1", url.port or 0
        )
        asked = connection.head(b"HEAD /a HTTP/1.1\r\n")

        asked.cancel()
        connection.data_received(ANSWER)

        assert connection.is_idle
        connection.abort()


async def test_an_endless_response_times_out() -> None:
    """Bytes that keep arriving do not extend its time."""
    async with (
        scripted_store(one_by_one(b"HTTP/1.1 200 OK\r\n", ANSWER)) as store,
        connections_to(store.endpoint, answer=0.5) as connections,
    ):
        dribbled = asking(connections, "a")
        while not dribbled.done():
            for writer in store.writers:
                writer.write(b"x")
            await asyncio.sleep(0.01)

        with pytest.raises(TimeoutError):
            await dribbled
        assert await asking(connections, "b") == FOUND


async def test_an_idle_connection_is_ended_before_the_store_does() -> None:
    async with (
        scripted_store(echo) as store,
        connections_to(store.endpoint, most=2, idle=0.5) as connections,
    ):
        for round_ in (1, 2):
            await works(connections, 2)
            await eventually(lambda: len(store.ended) == len(store.writers))
            assert len(store.writers) == 2 * round_


async def test_being_used_again_makes_a_connection_less_idle() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint) as connections:
        await asking(connections, "a")
        leave_idle(connections)
        await asking(connections, "b")
        connections._retire()
        await asking(connections, "c")
        assert store.asked_on == [1, 1, 1]

        leave_idle(connections)
        connections._retire()

        await eventually(lambda: store.ended == {1})


async def test_a_connection_in_use_is_not_idle() -> None:
    async with (
        scripted_store(echo) as store,
        connections_to(store.endpoint, most=2, idle=0.5) as connections,
    ):
        await works(connections, 2)
        store.may_answer.clear()
        held = asking(connections, "held")
        await eventually(lambda: len(store.ended) == 1)
        store.may_answer.set()

        assert await held == told("held")

        assert len(store.writers) == 2


async def test_a_missing_tls_handshake_times_out() -> None:
    tls = ssl.create_default_context()
    async with scripted_store(echo) as store:
        endpoint = store.endpoint.replace("http:", "https:")
        async with connections_to(endpoint, connect=0.05, tls=tls) as connections:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await asking(connections, "a")

        await eventually(lambda: store.ended == {1, 2})


async def test_closing_ends_running_and_waiting_requests() -> None:
    async with scripted_store(echo) as store, connections_to(store.endpoint, most=2) as connections:
        await works(connections, 2)
        store.may_answer.clear()
        asked = [asking(connections, number) for number in range(4)]
        await eventually(lambda: store.keys[-2:] == ["0", "1"])

        await connections.close()

        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(end) for end in ends] == [ConnectionError] * 4
        store.may_answer.set()
        await eventually(lambda: store.ended == {*range(1, len(store.writers) + 1)})
