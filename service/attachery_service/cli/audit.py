"""`attachery audit`: what the database says beside what is in storage. Run it nightly."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from attachery_service.app.options import database_options, storage_options
from attachery_service.app.parts import audit_of, audit_store_of
from attachery_service.cli.audit_report import Report, facts_of
from attachery_service.cli.ready_file import settings_of
from attachery_service.postgres.database import open_database
from attachery_service.postgres.migrate import require_schema
from attachery_service.postgres.repositories.audit import PostgresAudit
from attachery_service.s3.client import open_storage
from attachery_service.s3.listing import S3ObjectListing
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.usecases.audit.audit import Audit
from attachery_service.usecases.audit.repair import AuditRepair

_log = structlog.get_logger("attachery.audit")

# Adding up the sessions of a tenant is one statement, however many there are.
_STATEMENT_TIMEOUT = 60.0
_TENANTS_AT_ONCE = 1000


async def run(options: argparse.Namespace) -> int:
    """Prints what is found, as it is found; 1 if something was, 0 if nothing."""
    settings, report = settings_of(options.ready_file), Report(options.json)
    patient = replace(database_options(settings), statement_timeout=_STATEMENT_TIMEOUT)
    async with (
        open_database(patient) as database,
        open_storage(storage_options(settings)) as storage,
    ):
        await require_schema(database)
        store = audit_store_of(settings, database)
        orphans_before = await store.now() - timedelta(seconds=options.orphan_age)
        repair = AuditRepair(store, S3ObjectStore(storage), orphans_before)
        audit_tenant = _TenantAudit(audit_of(settings, database, storage), repair, report)
        tenants = _tenants(options, store, S3ObjectListing(storage))
        try:
            async for tenant_id, is_known in tenants:
                await audit_tenant(tenant_id, repairs=options.repair and is_known)
        finally:
            report.hide_progress()
    report.summary()
    return 1 if report.counts.findings else 0


@dataclass(frozen=True, slots=True)
class _TenantAudit:
    """Audits a tenant, repairs what it is told to, and reports."""

    audit: Audit
    repair: AuditRepair
    report: Report

    async def __call__(self, tenant_id: str, *, repairs: bool) -> None:
        self.report.tenant()
        async for part in self.audit(tenant_id):
            for finding in part.findings:
                repaired = await self.repair.repair(tenant_id, finding) if repairs else ""
                facts = facts_of(tenant_id, finding, repaired)
                self.report.finding(facts)
                if repaired:
                    _log.info("repaired", **facts)
            self.report.part(part)


async def _tenants(
    options: argparse.Namespace, store: PostgresAudit, listing: S3ObjectListing
) -> AsyncIterator[tuple[str, bool]]:
    """Those that are asked for, or every one there is anything of; and whether it is known.

    Of one that is not asked for by name and has no trace in the database nothing is deleted: its
    objects may be those of another database.
    """
    if options.tenant:
        for name in options.tenant:
            yield name, True
        return
    async for name in _in_database(store):
        yield name, True
    async for name in _only_in_storage(store, listing):
        yield name, False


async def _in_database(store: PostgresAudit) -> AsyncIterator[str]:
    after, more = "", True
    while more:
        names = await store.tenants(after, _TENANTS_AT_ONCE)
        for after in names:
            yield after
        more = len(names) == _TENANTS_AT_ONCE


async def _only_in_storage(store: PostgresAudit, listing: S3ObjectListing) -> AsyncIterator[str]:
    token, more = "", True
    while more:
        page = await listing.tenants(token)
        known = await store.known(page.names)
        for name in page.names:
            if name not in known:
                yield name
        token, more = page.next_token, bool(page.next_token)
