"""Step `authorization`."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from attachery_service.domain.errors import ScopeMissing
from attachery_service.domain.identity import Connection, Scope
from attachery_service.domain.rates import Category
from attachery_service.rpc.methods import Access
from attachery_service.rpc.pipeline.authorization import Authorization
from support.pipeline_calls import call, principal


@pytest.mark.parametrize("accepts_session_token", [True, False])
async def test_the_scope_is_required_and_session_tokens_count_where_the_method_takes_them(
    accepts_session_token: bool,
) -> None:
    reader = principal(Scope.UPLOADS_READ)
    writer = principal(Scope.UPLOADS_CREATE)
    uploader = replace(reader, session=UUID(int=1))
    calls = [call(principal=each) for each in (reader, writer, uploader)] + [call()]
    access = Access(Scope.UPLOADS_READ, Category.READ, accepts_session_token)
    await Authorization(access).process(calls)
    failed = [isinstance(each.error, ScopeMissing) for each in calls]
    assert failed == [False, True, not accepts_session_token, True]


@pytest.mark.parametrize("accepted", [True, False])
async def test_connection_tokens_count_where_the_method_takes_them(accepted: bool) -> None:
    reader, connection = principal(Scope.UPLOADS_READ), Connection("visitor", frozenset())
    calls = [
        call(principal=each)
        for each in (
            replace(reader, connection=connection),
            replace(principal(), connection=connection),
        )
    ]
    access = Access(Scope.UPLOADS_READ, Category.READ, accepts_connection_token=accepted)
    await Authorization(access).process(calls)
    assert [isinstance(each.error, ScopeMissing) for each in calls] == [not accepted, True]


async def test_a_method_without_a_scope_is_open_to_every_principal() -> None:
    uploader = replace(principal(), session=UUID(int=1))
    calls = [call(principal=principal()), call(principal=uploader)]
    await Authorization(Access(None, Category.READ, False, has_no_tenant=True)).process(calls)
    assert [each.error for each in calls] == [None, None]
