"""`attachery bucket setup`: write the bucket's rules and print its policies."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence

from attachery_service.app.options import storage_options
from attachery_service.cli.arguments import add_ready_file, add_verb
from attachery_service.cli.ready_file import settings_of
from attachery_service.domain.errors import StorageMisconfigured
from attachery_service.s3.bucket.access_policies import guard_policy, service_policy, uses_tls
from attachery_service.s3.bucket.cors_origins import parse_origin
from attachery_service.s3.bucket.probing import reach
from attachery_service.s3.bucket.rules import (
    CorsBook,
    LifecycleBook,
    Outcome,
    Rule,
    RuleBook,
    RuleReport,
    cors_rule,
    demanded_headers,
    keep,
    lifecycle_rules,
    look,
)
from attachery_service.s3.client import Storage, StorageOptions, open_storage
from attachery_service.s3.signing.urls import S3TargetSigner

_ARN = re.compile(r"arn:[^\s:]+:[^\s:]+:[^\s:]*:[^\s:]*:\S+")
_REQUIRED_PERMISSIONS = {
    "lifecycle": "s3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration",
    "cors": "s3:GetBucketCORS and s3:PutBucketCORS",
}


def add_arguments(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_setup(add_verb(verbs, "setup", setup, "write its rules and print its policies"))


def _add_setup(parser: ArgumentParser) -> None:
    add_ready_file(parser)
    parser.add_argument(
        "--cors-origin",
        action="append",
        type=_origin,
        metavar="ORIGIN",
        help="site whose pages may upload and download, such as https://app.example; repeatable",
    )
    parser.add_argument(
        "--principal",
        action="append",
        type=_principal,
        metavar="ARN",
        help="principal that alone may access the objects by the printed policy; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the changes, write nothing")


def _origin(text: str) -> str:
    """Read an origin for the CORS rule. Raises ArgumentTypeError."""
    try:
        return parse_origin(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _principal(text: str) -> str:
    """Read an ARN. Raises ArgumentTypeError."""
    if not _ARN.fullmatch(text):
        raise ArgumentTypeError("must be an ARN, such as arn:aws:iam::123456789012:role/R")
    return text


async def setup(options: Namespace) -> int:
    """Print a line per kind of rule, then both policies; fail if object storage refuses one."""
    storage_at = storage_options(settings_of(options.ready_file))
    async with open_storage(storage_at) as storage:
        if wrong := await reach(storage):
            raise StorageMisconfigured(detail=wrong)
        reports = {
            "lifecycle": await _kept(
                storage, LifecycleBook(storage), lifecycle_rules(storage_at), dry=options.dry_run
            )
        }
        if options.cors_origin:
            rule = await _cors(storage, options.cors_origin)
            reports["cors"] = await _kept(storage, CorsBook(storage), [rule], dry=options.dry_run)
    for name, report in reports.items():
        _tell(name, report)
    if not options.cors_origin:
        _print("cors", "unchanged; --cors-origin ORIGIN lets the pages of a site upload")
    _print_policies(storage_at, options.principal or [])
    return 1 if any(report.outcome is Outcome.REFUSED for report in reports.values()) else 0


async def _cors(storage: Storage, origins: Sequence[str]) -> Rule:
    headers = await demanded_headers(S3TargetSigner(storage))
    return cors_rule(storage.options, origins, headers)


async def _kept(
    storage: Storage, book: RuleBook, wanted: Sequence[Rule], *, dry: bool
) -> RuleReport:
    return await (look if dry else keep)(storage, book, wanted)


def _tell(name: str, report: RuleReport) -> None:
    match report.outcome:
        case Outcome.PRESENT:
            _print(name, "up to date, nothing written")
        case Outcome.MISSING:
            _print(name, "would be written")
        case Outcome.WRITTEN:
            _print(name, "written")
        case Outcome.NOT_KEPT:
            _print(name, "accepted by object storage, which does not keep it")
        case Outcome.NOT_IMPLEMENTED:
            _print(name, "not implemented by object storage")
        case Outcome.REFUSED:
            text = f"object storage refuses {name} ({report.code}): these credentials need"
            print(f"attachery: {text} {_REQUIRED_PERMISSIONS[name]}", file=sys.stderr)


def _print_policies(options: StorageOptions, principals: Sequence[str]) -> None:
    if not principals:
        _print("note", "with --principal ARN the bucket's policy excludes every other principal")
    if not uses_tls(options):
        _print(
            "note", "the bucket's policy does not require TLS: object storage is used without it"
        )
    print("\nPolicy for the service's credentials:")
    print(json.dumps(service_policy(options), indent=2))
    print("\nPolicy for the bucket:")
    print(json.dumps(guard_policy(options, principals), indent=2))


def _print(name: str, value: str) -> None:
    print(f"{name:<18}{value}")
