"""`attachery check`: show the state of the database and object storage before serving."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import timedelta

from attachery_service.app.options import database_options, storage_options
from attachery_service.app.parts import policies_of
from attachery_service.cli.arguments import add_ready_file
from attachery_service.cli.ready_file import settings_of
from attachery_service.domain.policy import Policy
from attachery_service.postgres.database import Database, open_database
from attachery_service.postgres.migrate import require_schema
from attachery_service.postgres.queries import Query
from attachery_service.s3.bucket.probing import probe
from attachery_service.s3.bucket.rules import (
    CorsBook,
    LifecycleBook,
    Outcome,
    Rule,
    cors_rule,
    demanded_headers,
    ends_objects,
    lifecycle_rules,
    look,
)
from attachery_service.s3.client import Storage, open_storage
from attachery_service.s3.signing.urls import S3TargetSigner
from attachery_service.settings.service import Settings

_NOW = Query.compile("SELECT extract(epoch FROM clock_timestamp()) AS now")
_SETUP = "run 'attachery bucket setup'"


def add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(run=run)
    add_ready_file(parser)


async def run(options: Namespace) -> int:
    """Print one finding per line; fail where `serve` would."""
    settings = settings_of(options.ready_file)
    policies = policies_of(settings)
    async with open_database(database_options(settings)) as database:
        _print("schema version", await require_schema(database))
        _print("database clock", f"{await _clock_difference(database):+.3f} s from this machine's")
    async with open_storage(storage_options(settings)) as storage:
        await _check_storage(settings, storage)
        longest_life = max(policy.max_metadata_retention for policy in policies.values())
        await _check_lifecycle(storage, longest_life)
        await _check_cors(storage)
    _print_unlimited(policies)
    return 0


async def _clock_difference(database: Database) -> float:
    row = await database.row(_NOW)
    return float(row["now"]) - time.time() if row else 0.0


def _print_unlimited(policies: Mapping[str, Policy]) -> None:
    """Name the purposes whose uploads may be larger than their maximum until Complete."""
    names = sorted(name for name, policy in policies.items() if policy.accepts_any_size)
    if names:
        rule = "object storage does not limit uploads of undeclared size (undeclared_size = put)"
        _print("note", f"{rule}: purpose {', '.join(names)}")


async def _check_storage(settings: Settings, storage: Storage) -> None:
    _print("storage", f"{settings.s3_endpoint or 'AWS'}, bucket {settings.s3_bucket}")
    report = await probe(storage)
    _print("seal", report.seal.value)
    if report.clock_difference is not None:
        _print("storage clock", f"{report.clock_difference:+.0f} s from this machine's")
    _print("permissions", ", ".join(sorted(report.permitted)))
    _print("versioned", "yes" if report.versioned else "no")
    for note in report.notes:
        _print("note", note)


async def _check_lifecycle(storage: Storage, longest_life: timedelta) -> None:
    """`longest_life`: holds may keep bytes for as long as the row exists."""
    report = await look(storage, LifecycleBook(storage), lifecycle_rules(storage.options))
    missing = f"missing: unfinished uploads and old versions stay; {_SETUP}"
    _print("lifecycle", _said(report.outcome, missing, "s3:GetLifecycleConfiguration"))
    for rule in report.rules:
        days = ends_objects(rule, storage.options)
        if days is not None and timedelta(days=days) <= longest_life:
            _print("warning", _deadly(rule, days, longest_life))


def _deadly(rule: Rule, days: int, longest_life: timedelta) -> str:
    return (
        f"the lifecycle rule {rule.get('ID', '')!r} deletes objects after {days} days, "
        f"attachments may live for {longest_life.days}"
    )


async def _check_cors(storage: Storage) -> None:
    headers = await demanded_headers(S3TargetSigner(storage))
    wanted = {**cors_rule(storage.options, [], headers)}
    del wanted["AllowedOrigins"]  # the operator chooses them
    report = await look(storage, CorsBook(storage), [wanted])
    missing = f"missing: browsers cannot upload; {_SETUP[:-1]} --cors-origin ORIGIN' if they should"
    said = _said(report.outcome, missing, "s3:GetBucketCORS")
    ours = [rule for rule in report.rules if rule.get("ID") == wanted["ID"]]
    origins = ", ".join(ours[0].get("AllowedOrigins", [])) if ours else ""
    _print("cors", f"{said} for {origins}" if report.outcome is Outcome.PRESENT else said)


def _said(outcome: Outcome, missing: str, permission: str) -> str:
    match outcome:
        case Outcome.PRESENT:
            return "ok"
        case Outcome.NOT_IMPLEMENTED:
            return "not implemented by object storage"
        case Outcome.REFUSED:
            return f"unknown: the credentials lack {permission}"
        case _:
            return missing


def _print(name: str, value: object) -> None:
    print(f"{name:<18}{value}")
