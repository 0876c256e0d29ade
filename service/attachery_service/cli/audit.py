"""`attachery audit`: compare the database with object storage. Run it nightly."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from attachery_service.app.options import database_options, storage_options
from attachery_service.app.parts import audit_of, audit_store_of
from attachery_service.cli.arguments import add_ready_file, seconds
from attachery_service.cli.audit_report import Report, facts_of
from attachery_service.cli.ready_file import settings_of
from attachery_service.domain.identifiers import parse_tenant_id
from attachery_service.domain.validation import RuleViolation
from attachery_service.postgres.database import open_database
from attachery_service.postgres.migrate import require_schema
from attachery_service.postgres.repositories.audit import PostgresAudit
from attachery_service.s3.client import open_storage
from attachery_service.s3.listing import S3ObjectListing
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.usecases.audit.audit import Audit
from attachery_service.usecases.audit.repair import AuditRepair

_log = structlog.get_logger("attachery.audit")

# In seconds: one statement sums all sessions of a tenant.
_STATEMENT_TIMEOUT = 60.0
_TENANTS_AT_ONCE = 1000


def add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(run=run, failure=2)
    add_ready_file(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object per line")
    parser.add_argument(
        "--tenant", action="append", type=_tenant, metavar="T", help="repeatable; all by default"
    )
    parser.add_argument(
        "--repair", action="store_true", help="repair differences where no data can be lost"
    )
    parser.add_argument(
        "--orphan-age",
        type=seconds,
        default=86_400,
        metavar="SECONDS",
        help="least age at which an orphaned object is deleted; a day by default",
    )


def _tenant(text: str) -> str:
    try:
        return parse_tenant_id(text)
    except RuleViolation as error:
        raise ArgumentTypeError(str(error)) from None


async def run(options: Namespace) -> int:
    """Print each difference as it is found; return 1 if there was one, else 0."""
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
    """Audits a tenant, repairs its differences on request, and reports."""

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
    options: Namespace, store: PostgresAudit, listing: S3ObjectListing
) -> AsyncIterator[tuple[str, bool]]:
    """Yield the requested tenants, or all; True marks those that `--repair` may change.

    A tenant that was not requested by name and is missing in the database is left alone: its
    objects may belong to another database.
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
