"""Rules of the bucket: which ones the service needs there, and how they get there beside others.

Ours are known by their ids, which name the prefix, so that several services may share a bucket. A
store has no way to change one rule alone: all are read, ours put in their place, all written back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.transfers import TargetRequest
from attachery_service.ports.signing import TargetSigner
from attachery_service.s3.client import Storage, StorageOptions
from attachery_service.s3.errors import bounded, code_of, status_of
from attachery_service.s3.signing.urls import MIN_LIFETIME

Rule = Mapping[str, Any]

_METHODS: Final = ("PUT", "POST", "GET", "HEAD")
# How long a browser may keep what it was told, in seconds.
_MAX_AGE: Final = 3600
# What is written with lifecycle rules, and falls back to a default unless it is.
_WITH_LIFECYCLE: Final = frozenset({"TransitionDefaultMinimumObjectSize"})
_NONE_YET: Final = frozenset({"NoSuchLifecycleConfiguration", "NoSuchCORSConfiguration"})
_UNKNOWN: Final = frozenset({HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED})


class Outcome(StrEnum):
    """What became of rules that should be there.

    NOT_KEPT: the store accepted them and does not have them. REFUSED: to these credentials, or in
    this form.
    """

    PRESENT = "present"
    MISSING = "missing"
    WRITTEN = "written"
    NOT_KEPT = "not kept"
    NOT_IMPLEMENTED = "not implemented"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RuleReport:
    """`rules`: all there are, those of others too. `code`: S3's name for a refusal."""

    outcome: Outcome
    rules: Sequence[Rule] = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All rules of one kind, and what else is set with them."""

    rules: Sequence[Any] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)


class RuleBook(Protocol):
    """One kind of a bucket's rules. Both raise ClientError."""

    async def read(self) -> Configuration:
        """As the store has it."""

    async def write(self, configuration: Configuration) -> None:
        """In place of what the store has."""


@dataclass(frozen=True, slots=True)
class LifecycleBook:
    """What the store does by itself, when."""

    storage: Storage

    async def read(self) -> Configuration:
        answer = await self.storage.s3.get_bucket_lifecycle_configuration(
            Bucket=self.storage.options.bucket
        )
        rest = {name: value for name, value in answer.items() if name in _WITH_LIFECYCLE}
        return Configuration(answer.get("Rules", []), rest)

    async def write(self, configuration: Configuration) -> None:
        await self.storage.s3.put_bucket_lifecycle_configuration(
            Bucket=self.storage.options.bucket,
            LifecycleConfiguration={"Rules": configuration.rules},
            **configuration.rest,
        )


@dataclass(frozen=True, slots=True)
class CorsBook:
    """Which web pages may use the bucket from a browser."""

    storage: Storage

    async def read(self) -> Configuration:
        answer = await self.storage.s3.get_bucket_cors(Bucket=self.storage.options.bucket)
        return Configuration(answer.get("CORSRules", []))

    async def write(self, configuration: Configuration) -> None:
        await self.storage.s3.put_bucket_cors(
            Bucket=self.storage.options.bucket,
            CORSConfiguration={"CORSRules": configuration.rules},
        )


def lifecycle_rules(options: StorageOptions) -> list[Rule]:
    """What no sweep can see ends after a day: parts of uploads, and versions that were replaced.

    None ends current objects: how long an attachment lives is for policies and holds to say, which
    may change after the rule was written, and a rule that is too short destroys what is READY.
    """
    below = {"Prefix": _start(options)}
    return [
        {
            "ID": rule_id("unfinished-uploads", options),
            "Filter": below,
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
        {
            "ID": rule_id("old-versions", options),
            "Filter": below,
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
    ]


def cors_rule(options: StorageOptions, origins: Sequence[str], headers: Sequence[str]) -> Rule:
    """Lets pages of these origins use targets and download URLs."""
    return {
        "ID": rule_id("browsers", options),
        "AllowedOrigins": list(origins),
        "AllowedMethods": list(_METHODS),
        "AllowedHeaders": list(headers),
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": _MAX_AGE,
    }


def rule_id(purpose: str, options: StorageOptions) -> str:
    """Of a rule for the objects below the prefix."""
    return "-".join(part for part in ("attachery", purpose, options.key("")) if part)


def ends_objects(rule: Rule, options: StorageOptions) -> int | None:
    """After how many days a lifecycle rule deletes current objects below the prefix, if ever.

    One for objects with a tag is none: ours have no tags.
    """
    days = rule.get("Expiration", {}).get("Days")
    chosen = rule.get("Filter", {})
    chosen = {**chosen, **chosen.get("And", {})}
    start = str(chosen.get("Prefix", rule.get("Prefix", "")))
    ours = _start(options)
    meets = ours.startswith(start) or start.startswith(ours)
    tagged = "Tag" in chosen or chosen.get("Tags")
    return days if meets and not tagged and rule.get("Status") == "Enabled" else None


async def demanded_headers(signer: TargetSigner) -> list[str]:
    """Every header that some target demands of its uploader, in lower case: found by signing."""
    targets = [await signer.sign_upload(request) for request in _demanding_requests()]
    return sorted({name.lower() for target in targets for name in target.headers})


def _start(options: StorageOptions) -> str:
    return f"{options.key('')}/" if options.key("") else ""


def _demanding_requests() -> Iterable[TargetRequest]:
    digests = {Algorithm.MD5: "0" * 32, Algorithm.SHA256: "0" * 64}
    digests |= {Algorithm.CRC32C: "0" * 8, Algorithm.CRC64NVME: "0" * 16}
    for algorithm, digest in digests.items():
        yield TargetRequest(
            key="any",
            content_type="text/plain",
            size=1,
            max_size=1,
            checksums=Checksums.of({algorithm: digest}),
            write_once=True,
            lifetime=MIN_LIFETIME,
        )


async def look(storage: Storage, book: RuleBook, wanted: Sequence[Rule]) -> RuleReport:
    """Whether all of the wanted rules are there, as far as they say.

    Raises StorageUnavailable, StorageMisconfigured.
    """
    with bounded(storage.options.operation_timeout):
        try:
            found = await _read(book)
        except ClientError as error:
            return _refusal(error)
        return _compared(found, wanted)


async def keep(storage: Storage, book: RuleBook, wanted: Sequence[Rule]) -> RuleReport:
    """Puts the wanted rules there unless they are; WRITTEN once the store shows them.

    What somebody else writes between this call's reading and writing is lost. Raises
    StorageUnavailable, StorageMisconfigured.
    """
    with bounded(storage.options.operation_timeout):
        try:
            before = await _read(book)
            if _compared(before, wanted).outcome is Outcome.PRESENT:
                return RuleReport(Outcome.PRESENT, before.rules)
            await book.write(_merged(before, wanted))
            after = await _read(book)
        except ClientError as error:
            return _refusal(error)
    shown = _compared(after, wanted).outcome is Outcome.PRESENT
    return RuleReport(Outcome.WRITTEN if shown else Outcome.NOT_KEPT, after.rules)


async def _read(book: RuleBook) -> Configuration:
    try:
        return await book.read()
    except ClientError as error:
        if code_of(error) not in _NONE_YET:
            raise
        return Configuration()


def _merged(before: Configuration, wanted: Sequence[Rule]) -> Configuration:
    ours = {rule["ID"] for rule in wanted}
    others = [rule for rule in before.rules if rule.get("ID") not in ours]
    return Configuration([*others, *wanted], before.rest)


def _compared(found: Configuration, wanted: Sequence[Rule]) -> RuleReport:
    by_id = {rule.get("ID"): rule for rule in found.rules}
    here = all(_says(by_id.get(rule["ID"], {}), rule) for rule in wanted)
    return RuleReport(Outcome.PRESENT if here else Outcome.MISSING, found.rules)


def _says(found: Rule, wanted: Rule) -> bool:
    """Stores add fields of their own."""
    return all(_in_order(found.get(name)) == _in_order(value) for name, value in wanted.items())


def _in_order(value: object) -> object:
    """Stores keep lists in an order, and headers in a case, of their own."""
    return sorted(str(each).lower() for each in value) if isinstance(value, list) else value


def _refusal(error: ClientError) -> RuleReport:
    status = status_of(error)
    if status in _UNKNOWN:
        return RuleReport(Outcome.NOT_IMPLEMENTED, code=code_of(error))
    # A bucket that is missing, or a store that is busy, is nothing about rules.
    if status not in (HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
        raise error
    return RuleReport(Outcome.REFUSED, code=code_of(error))
