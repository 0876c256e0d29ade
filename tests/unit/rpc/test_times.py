"""Durations and points in time that messages can contain and Python cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from attachery_service.rpc.messages.times import (
    from_datetime,
    from_timedelta,
    to_datetime,
    to_timedelta,
)

_INT64 = st.integers(-(2**63), 2**63 - 1)
_INT32 = st.integers(-(2**31), 2**31 - 1)


@given(_INT64, _INT32)
def test_every_duration_and_timestamp_becomes_something(seconds: int, nanos: int) -> None:
    assert isinstance(to_timedelta(Duration(seconds=seconds, nanos=nanos)), timedelta)
    assert isinstance(to_datetime(Timestamp(seconds=seconds, nanos=nanos)), datetime)


@given(st.timedeltas(timedelta(days=-3000), timedelta(days=3000)))
def test_durations_round_trip(value: timedelta) -> None:
    assert to_timedelta(from_timedelta(value)) == value


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)))  # noqa: DTZ001 - made aware below
def test_points_in_time_round_trip(value: datetime) -> None:
    aware = value.replace(tzinfo=UTC)
    message = from_datetime(aware)
    assert message is not None
    assert to_datetime(message) == aware


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_timestamp_equals_that_of_the_library(value: datetime) -> None:
    known = Timestamp()
    known.FromDatetime(value)
    assert from_datetime(value) == known
