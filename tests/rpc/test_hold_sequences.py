"""Any sequence of calls, expiries and sweeps leaves the holds that a simple model has."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery.v1.admin_pb2 import AuditAttachmentsRequest
from attachery_service.domain.errors import HoldExpired, HoldNotFound, HoldReleased
from support.failures import failure
from support.holding import HOUR, exactly, extend, get, get_hold, list_holds, reasons, release, take
from support.service_fixtures import TENANT, ServiceUnderTest
from support.sweep_fixtures import Sweeper

OWNERS = ("one", "two")
STEPS = 30

# Lets time pass for all holds.
_PASS_TIME = """
WITH held AS (UPDATE held_attachments SET end_time = end_time - $1::interval)
UPDATE holds SET
    create_time = create_time - $1::interval,
    expire_time = expire_time - $1::interval,
    release_time = release_time - $1::interval
"""


@dataclass
class Lease:
    """A hold as it should be. `end` and the time of the model move with the database's clock."""

    hold_id: str
    owner: str
    end: datetime
    members: set[str]
    released: bool = False


@dataclass
class Model:
    """All holds and attachments as they should be. `own_ends`: when their retention ends."""

    now: datetime
    own_ends: dict[str, datetime]
    leases: dict[str, Lease] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def is_live(self, lease: Lease) -> bool:
        return not lease.released and lease.end > self.now

    def of_owner(self, owner: str) -> Lease | None:
        found = (each for each in self.leases.values() if each.owner == owner and not each.released)
        return next(found, None)

    def end_of(self, attachment_id: str) -> datetime:
        ends = [
            each.end
            for each in self.leases.values()
            if attachment_id in each.members and self.is_live(each)
        ]
        return max([self.own_ends[attachment_id], *ends])

    def settle(self) -> None:
        """Marks the attachments that no retention or hold keeps."""
        self.gone |= {i for i in self.own_ends if self.end_of(i) <= self.now}

    def take(self, owner: str, ids: set[str], hold: resources_pb2.Hold, *, replaces: bool) -> None:
        lease = self.of_owner(owner)
        if lease is None:
            lease = self.leases[hold.hold_id] = Lease(hold.hold_id, owner, self.now, set())
        elif not self.is_live(lease):
            lease.members -= self.gone
        assert hold.hold_id == lease.hold_id
        assert exactly(hold.expire_time) >= lease.end
        lease.end = exactly(hold.expire_time)
        lease.members = ids if replaces else lease.members | ids


class Run:
    """One sequence, applied to the service and to the model."""

    def __init__(
        self, service: ServiceUnderTest, sweeper: Sweeper, model: Model, seed: int
    ) -> None:
        self.service = service
        self.sweeper = sweeper
        self.model = model
        self.chance = random.Random(seed)  # noqa: S311 - to be repeatable

    async def step(self) -> None:
        weights = {
            self.add: 5,
            self.replace: 6,
            self.extend: 3,
            self.release: 2,
            self.pass_time: 3,
            self.sweep: 2,
            self.delete: 1,
        }
        (event,) = self.chance.choices(list(weights), list(weights.values()))
        self.model.now = await self.service.database.fetchval("SELECT now()")
        self.model.settle()
        await event()
        self.model.now = await self.service.database.fetchval("SELECT now()")
        self.model.settle()
        await self.check()

    async def add(self) -> None:
        ids, owner = self.any_ids(1), self.any_owner()
        answer = await take(self.service, *ids, hold_owner=owner, hold_ttl=self.any_ttl())
        usable = set(ids) - self.model.gone
        assert [not reason for reason in reasons(answer)] == [i in usable for i in ids]
        assert answer.HasField("hold") == bool(usable)
        if usable:
            self.model.take(owner, usable, answer.hold, replaces=False)

    async def replace(self) -> None:
        ids, owner = self.any_ids(0), self.any_owner()
        answer = await take(
            self.service,
            *ids,
            hold_owner=owner,
            hold_ttl=self.any_ttl(),
            hold_mode=pb.HOLD_MODE_REPLACE,
        )
        lease = self.model.of_owner(owner)
        if not ids:
            assert answer.HasField("hold") == bool(lease and self.model.is_live(lease))
            if lease:
                lease.released = True
        elif not set(ids) & self.model.gone:
            self.model.take(owner, set(ids), answer.hold, replaces=True)
        else:
            assert not answer.HasField("hold")
            assert all(reasons(answer))

    async def extend(self) -> None:
        lease, name = self.any_name()
        call = extend(self.service, ttl=self.any_ttl(), **name)
        if lease and self.model.is_live(lease):
            lease.end = exactly((await call).expire_time)
            return
        reason = (await failure(call)).reason
        if not name["hold_id"] or lease is None:
            assert reason == HoldNotFound().reason
        else:
            assert reason == (HoldReleased if lease.released else HoldExpired)().reason

    async def release(self) -> None:
        lease, name = self.any_name()
        call = release(self.service, **name)
        if lease and (name["hold_id"] or self.model.is_live(lease)):
            assert (await call).HasField("release_time")
            lease.released = True
        else:
            assert (await failure(call)).reason == HoldNotFound().reason

    async def pass_time(self) -> None:
        by = self.chance.randint(1, 5) * HOUR / 2
        await self.service.database.execute(_PASS_TIME, by)
        for attachment_id in self.model.own_ends:
            await self.service.age(attachment_id, by)
            self.model.own_ends[attachment_id] -= by
        for lease in self.model.leases.values():
            lease.end -= by

    async def sweep(self) -> None:
        await self.sweeper()

    async def delete(self) -> None:
        (attachment_id,) = self.chance.sample(sorted(self.model.own_ends), 1)
        request = pb.DeleteAttachmentRequest(
            tenant_id=TENANT, attachment_id=attachment_id, force=True
        )
        await self.service.attachments.DeleteAttachment(request, metadata=self.service.metadata)
        self.model.gone.add(attachment_id)

    async def check(self) -> None:
        for lease in self.model.leases.values():
            await self.check_hold(lease)
        for attachment_id in self.model.own_ends:
            await self.check_attachment(attachment_id)
        request = AuditAttachmentsRequest(tenant_id=TENANT)
        answer = await self.service.admin.AuditAttachments(request, metadata=self.service.metadata)
        # The sweep has not seen everything yet, so sessions may be overdue.
        assert "KIND_HOLD_DIFFERS" not in str(answer.findings)

    async def check_hold(self, lease: Lease) -> None:
        found = await get_hold(self.service, hold_id=lease.hold_id)
        assert found.hold.HasField("release_time") == lease.released
        ids = set(found.attachment_ids) - self.model.gone
        assert ids == (set() if lease.released else lease.members - self.model.gone)
        if self.model.is_live(lease):
            assert found.hold.attachment_count == len(lease.members)
            assert exactly(found.hold.expire_time) == lease.end

    async def check_attachment(self, attachment_id: str) -> None:
        attachment = await get(self.service, attachment_id)
        is_gone = attachment_id in self.model.gone
        assert (attachment.state == resources_pb2.UPLOAD_SESSION_STATE_DELETED) == is_gone
        holds = (await list_holds(self.service, attachment_id=attachment_id)).holds
        live = [each for each in self.model.leases.values() if self.model.is_live(each)]
        expected = {each.hold_id for each in live if attachment_id in each.members}
        assert {hold.hold_id for hold in holds} == expected
        if not is_gone:
            end = self.model.end_of(attachment_id)
            assert exactly(attachment.object_purge_time) == end

    def any_ids(self, least: int) -> list[str]:
        """Any attachments, those that are gone less often."""
        alive = sorted(set(self.model.own_ends) - self.model.gone)
        pool = alive if alive and self.chance.random() < 0.8 else sorted(self.model.own_ends)
        return self.chance.sample(pool, self.chance.randint(least, min(3, len(pool))))

    def any_owner(self) -> str:
        return self.chance.choice(OWNERS)

    def any_ttl(self) -> timedelta:
        return self.chance.randint(1, 6) * HOUR

    def any_name(self) -> tuple[Lease | None, dict[str, Any]]:
        """A hold, and its name: its id, or its owner. None if the owner has no hold."""
        owner = self.any_owner()
        leases = list(self.model.leases.values())
        if not leases or self.chance.random() < 0.5:
            return self.model.of_owner(owner), {"hold_id": "", "hold_owner": owner}
        lease = self.chance.choice(leases)
        return lease, {"hold_id": lease.hold_id}


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(12))
async def test_holds_are_those_of_the_model_after_each_step(
    service: ServiceUnderTest, sweeper: Sweeper, seed: int
) -> None:
    ids = [await service.ready() for _ in range(8)]
    now = await service.database.fetchval("SELECT now()")
    model = Model(now, {})
    for number, attachment_id in enumerate(ids):
        await service.age(attachment_id, -number * HOUR / 4)
        model.own_ends[attachment_id] = exactly(
            (await get(service, attachment_id)).object_purge_time
        )
    run = Run(service, sweeper, model, seed)
    for _ in range(STEPS):
        await run.step()
