"""Repairs of an audit's findings, where that is safe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from attachery_service.domain.audit import Finding, Kind
from attachery_service.ports.audit import AuditRepairs
from attachery_service.ports.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class AuditRepair:
    """Deletes orphans that were there before `orphans_before`.

    A missing or changed object cannot be repaired from here.
    """

    repairs: AuditRepairs
    objects: ObjectStore
    orphans_before: datetime

    async def repair(self, tenant_id: str, finding: Finding) -> str:
        """Returns the action, empty if there was none.

        Raises DatabaseUnavailable, StorageUnavailable, StorageMisconfigured.
        """
        match finding:
            case Finding(kind=Kind.OBJECT_ORPHANED) if self._is_old(finding):
                await self.objects.delete(finding.key)
                return "deleted"
            # A session that is due already waits for the sweep.
            case Finding(kind=Kind.SESSION_OVERDUE, attachment_id=i, since_time=None) if i:
                await self.repairs.make_due(tenant_id, i)
                return "made due"
            case Finding(kind=Kind.HOLD_DIFFERS, attachment_id=i) if i:
                await self.repairs.recompute_hold(tenant_id, i)
                return "recomputed"
            case Finding(kind=Kind.USAGE_DIFFERS):
                await self.repairs.recount_usage(tenant_id)
                return "recounted"
        return ""

    def _is_old(self, finding: Finding) -> bool:
        return finding.since_time is not None and finding.since_time <= self.orphans_before
