"""Concurrent queries share one statement, and get the same results as on their own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from attachery_service.aio.deadline import set_time_left
from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.postgres.coalescing.coalescer import Coalescer
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import Query, query
from support.service_fixtures import ServiceUnderTest

UNKNOWN = "00000000-0000-4000-8000-000000000000"

POISON = -1
EVEN = {n: str(n) for n in range(0, 60, 2)}


class Poison(Exception):
    """The error of a statement that contains POISON."""


@dataclass
class Source:
    """Returns the values of even numbers; `held`: shared statements that wait to be released."""

    alone: list[int] = field(default_factory=list)
    together: list[list[int]] = field(default_factory=list)
    held: asyncio.Event | None = None

    async def find_one(self, key: int) -> str | None:
        self.alone.append(key)
        if key == POISON:
            raise Poison
        return EVEN.get(key)

    async def find_many(self, keys: Sequence[int]) -> Mapping[int, str]:
        self.together.append(list(keys))
        if self.held is not None:
            await self.held.wait()
        if POISON in keys:
            raise Poison
        return {key: EVEN[key] for key in keys if key in EVEN}

    def coalescer(self) -> Coalescer[int, str]:
        return Coalescer(self.find_one, self.find_many)


async def test_each_gets_its_own_answer_from_one_statement() -> None:
    source = Source()
    coalescer = source.coalescer()
    answers = await asyncio.gather(*(coalescer.submit(n) for n in EVEN))
    assert answers == list(EVEN.values())
    assert source.together == [list(EVEN)]
    assert source.alone == []


async def test_a_request_without_a_result_is_retried_on_its_own() -> None:
    source = Source()
    coalescer = source.coalescer()
    answers = await asyncio.gather(*(coalescer.submit(n) for n in range(4)))
    assert answers == ["0", None, "2", None]
    assert source.alone == [1, 3]


async def test_a_missing_row_is_a_result() -> None:
    source = Source()

    async def find_all(keys: Sequence[int]) -> Mapping[int, str | None]:
        source.together.append(list(keys))
        return {key: EVEN.get(key) for key in keys}

    coalescer = Coalescer(source.find_one, find_all)
    assert await asyncio.gather(*(coalescer.submit(n) for n in range(4))) == ["0", None, "2", None]
    assert source.together == [[0, 1, 2, 3]]
    assert source.alone == []


async def test_several_may_ask_for_the_same() -> None:
    coalescer = Source().coalescer()
    assert await asyncio.gather(*(coalescer.submit(2) for _ in range(5))) == ["2"] * 5


async def test_a_single_query_is_not_coalesced() -> None:
    source = Source()
    coalescer = source.coalescer()
    assert [await coalescer.submit(n) for n in (2, 3)] == ["2", None]
    assert (source.alone, source.together) == ([2, 3], [])


async def test_more_than_fit_into_one_statement_take_several() -> None:
    source = Source()
    coalescer = source.coalescer()
    answers = await asyncio.gather(*(coalescer.submit(n) for n in range(100)))
    assert answers == [EVEN.get(n) for n in range(100)]
    assert len(source.together) > 1
    assert max(map(len, source.together)) <= 32


async def test_a_bad_query_does_not_fail_its_neighbours() -> None:
    coalescer = Source().coalescer()
    answers = await asyncio.gather(
        *(coalescer.submit(n) for n in (10, 11, 12, POISON, 14)), return_exceptions=True
    )
    assert isinstance(answers.pop(3), Poison)
    assert answers == ["10", None, "12", "14"]


async def test_all_queries_fail_if_the_database_does_not_answer() -> None:
    """A second statement could repeat the effect of the first."""
    source = Source()

    async def unanswered(keys: Sequence[int]) -> Mapping[int, str]:
        raise DatabaseUnavailable

    coalescer = Coalescer(source.find_one, unanswered)
    answers = await asyncio.gather(*(coalescer.submit(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 3
    assert source.alone == []


async def test_a_query_with_a_short_deadline_fails_and_the_others_wait() -> None:
    source = Source(held=asyncio.Event())
    assert source.held is not None
    coalescer = source.coalescer()

    async def hurried() -> str | None:
        set_time_left(0)
        return await coalescer.submit(4)

    calls = [asyncio.create_task(coalescer.submit(2)), asyncio.create_task(hurried())]
    with pytest.raises(DatabaseUnavailable):
        await calls[1]
    source.held.set()
    assert await calls[0] == "2"


@pytest.mark.parametrize("leaver", [0, 1, 4], ids=["first", "second", "last"])
@pytest.mark.parametrize("moment", ["before", "during"])
async def test_a_cancelled_query_does_not_affect_the_others(leaver: int, moment: str) -> None:
    source = Source(held=asyncio.Event())
    assert source.held is not None
    coalescer = source.coalescer()
    calls = [asyncio.create_task(coalescer.submit(n)) for n in range(5)]
    for _ in range({"before": 1, "during": 3}[moment]):
        await asyncio.sleep(0)
    assert bool(source.together) == (moment == "during")
    calls[leaver].cancel()
    source.held.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers.pop(leaver), asyncio.CancelledError)
    assert answers == [EVEN.get(n) for n in range(5) if n != leaver]
    assert await coalescer.submit(8) == "8"


async def test_concurrent_calls_share_statements_without_mixing_results(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [(await service.start(size_bytes=n)).session.attachment_id for n in range(1, 21)]
    finding = query("sessions/find")
    statements = 0
    row, rows = Database.row, Database.rows

    async def counted(real: Any, self: Database, statement: Query, **values: object) -> Any:
        nonlocal statements
        statements += statement == finding
        return await real(self, statement, **values)

    monkeypatch.setattr(Database, "row", lambda self, q, **v: counted(row, self, q, **v))
    monkeypatch.setattr(Database, "rows", lambda self, q, **v: counted(rows, self, q, **v))

    async def size_of(attachment_id: str) -> int | grpc.StatusCode:
        try:
            session = await service.get(attachment_id)
        except grpc.aio.AioRpcError as error:
            return error.code()
        assert session.attachment_id == attachment_id
        size: int = session.declared_size_bytes
        return size

    wanted = [*ids, UNKNOWN] * 5  # fewer than load shedding admits
    found = await asyncio.gather(*(size_of(each) for each in wanted))
    assert found == [*range(1, 21), grpc.StatusCode.NOT_FOUND] * 5
    assert 1 <= statements <= len(wanted)
