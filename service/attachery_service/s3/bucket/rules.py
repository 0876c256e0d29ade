"""The bucket's lifecycle and CORS rules that the service needs, kept beside those of others.

The service's rules have ids that contain the prefix, so several services may share a bucket. S3
cannot change a single rule: all rules are read, the service's own are replaced, and all are written
back.
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
from attachery_service.s3.errors import code_of, status_of, translate_errors
from attachery_service.s3.signing.urls import MIN_LIFETIME

Rule = Mapping[str, Any]

_METHODS: Final = ("PUT", "POST", "GET", "HEAD")
# How long a browser may cache the response to a preflight request, in seconds.
_MAX_AGE: Final = 3600
# Settings written together with lifecycle rules; an omitted one falls back to its default.
_WITH_LIFECYCLE: Final = frozenset({"TransitionDefaultMinimumObjectSize"})
_NONE_YET: Final = frozenset({"NoSuchLifecycleConfiguration", "NoSuchCORSConfiguration"})
_UNKNOWN: Final = frozenset({HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED})


class Outcome(StrEnum):
    """The result of keeping rules.

    NOT_KEPT: object storage accepted the rules and does not return them. REFUSED: object storage
    rejected these credentials, or this form of the rules.
    """

    PRESENT = "present"
    MISSING = "missing"
    WRITTEN = "written"
    NOT_KEPT = "not kept"
    NOT_IMPLEMENTED = "not implemented"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RuleReport:
    """The result for one kind of rules.

    `rules`: all rules in the bucket, including those of others. `code`: S3's code of a refusal.
    """

    outcome: Outcome
    rules: Sequence[Rule] = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All rules of one kind, and the settings written together with them."""

    rules: Sequence[Any] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)


class RuleBook(Protocol):
    """One kind of a bucket's rules. Both methods raise ClientError."""

    async def read(self) -> Configuration:
        """Reads the configuration from object storage."""

    async def write(self, configuration: Configuration) -> None:
        """Replaces the configuration in object storage."""


@dataclass(frozen=True, slots=True)
class LifecycleBook:
    """Lifecycle rules: actions that object storage performs by itself."""

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
    """CORS rules: the web pages that may use the bucket from a browser."""

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
    """Rules that delete, after a day, bytes invisible to the sweep: upload parts, old versions.

    No rule deletes current objects. Policies and holds decide how long an attachment lives, and may
    change after the rule was written; a rule that is too short would delete READY attachments.
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
    """Builds the rule that lets pages of these origins use targets and download URLs."""
    return {
        "ID": rule_id("browsers", options),
        "AllowedOrigins": list(origins),
        "AllowedMethods": list(_METHODS),
        "AllowedHeaders": list(headers),
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": _MAX_AGE,
    }


def rule_id(purpose: str, options: StorageOptions) -> str:
    """The id of the service's rule for the objects below the prefix."""
    return "-".join(part for part in ("attachery", purpose, options.key("")) if part)


def ends_objects(rule: Rule, options: StorageOptions) -> int | None:
    """Days after which a lifecycle rule deletes current objects below the prefix; None if never.

    Ignores rules for tagged objects: the service's objects have no tags.
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
    """Every header, in lower case, that some target requires of its uploader; found by signing."""
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
    """Compares the bucket's rules with the wanted ones, field by field.

    Raises StorageUnavailable, StorageMisconfigured.
    """
    with translate_errors(storage.options.operation_timeout):
        try:
            found = await _read(book)
        except ClientError as error:
            return _refusal(error)
        return _compared(found, wanted)


async def keep(storage: Storage, book: RuleBook, wanted: Sequence[Rule]) -> RuleReport:
    """Writes the wanted rules unless they exist; WRITTEN once object storage returns them.

    A concurrent change by another writer, between this call's read and its write, is lost. Raises
    StorageUnavailable, StorageMisconfigured.
    """
    with translate_errors(storage.options.operation_timeout):
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
    """Whether `found` contains the wanted fields: object storage may add fields of its own."""
    return all(_in_order(found.get(name)) == _in_order(value) for name, value in wanted.items())


def _in_order(value: object) -> object:
    """Sorts lists and lower-cases headers: object storage may change their order and case."""
    return sorted(str(each).lower() for each in value) if isinstance(value, list) else value


def _refusal(error: ClientError) -> RuleReport:
    status = status_of(error)
    if status in _UNKNOWN:
        return RuleReport(Outcome.NOT_IMPLEMENTED, code=code_of(error))
    # A missing bucket or a busy server is a fault, not a refusal of the rules.
    if status not in (HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
        raise error
    return RuleReport(Outcome.REFUSED, code=code_of(error))
