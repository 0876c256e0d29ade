"""`sigv4`'s URLs and forms equal the SDK's, byte for byte, for every kind of bucket."""

from __future__ import annotations

import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.awsrequest import AWSRequest
from structlog.testing import CapturingLogger

from attachery_service.s3.bucket.endpoint import discover
from attachery_service.s3.client import Storage, StorageOptions, open_storage
from attachery_service.s3.signing.signers import OwnSigner, SdkSigner, UrlSigner, choose_signer
from support.clocks import signing_at

CASES = 100
SEED = 5
UNUSUAL = f"{string.ascii_letters}{string.digits}-._~/ +%'()*!$&@:,;=é日"
BODY_TYPES = ["text/plain", 'multipart/mixed; boundary="a b"', "image/svg+xml", "x/y; a=b;c=d"]
NAMES = ["a.txt", "ü b.pdf", "日本.png", "a\"b'c;d=e%41&f+g #h", "~"]

PLACES = {
    "aws": StorageOptions(bucket="bucket", region="us-east-1"),
    "aws_elsewhere": StorageOptions(bucket="bucket", region="eu-central-1"),
    "aws_dotted": StorageOptions(bucket="my.bucket", region="eu-central-1"),
    "aws_path": StorageOptions(bucket="bucket", region="eu-central-1", addressing="path"),
    "aws_china": StorageOptions(bucket="bucket", region="cn-north-1"),
    "port": StorageOptions(bucket="bucket", endpoint="http://127.0.0.1:9000"),
    "slash": StorageOptions(bucket="bucket", endpoint="http://127.0.0.1:9000/"),
    "usual_http_port": StorageOptions(bucket="bucket", endpoint="http://store:80"),
    "usual_https_port": StorageOptions(bucket="bucket", endpoint="https://store:443"),
    "odd_https_port": StorageOptions(bucket="my.bucket", endpoint="https://store:80"),
    "virtual": StorageOptions(bucket="b", endpoint="https://s.example", addressing="virtual"),
    "auto": StorageOptions(bucket="bucket", endpoint="http://store:9000", addressing="auto"),
    "upper_case": StorageOptions(bucket="bucket", endpoint="http://Store.Example:9000"),
    "ipv6": StorageOptions(bucket="bucket", endpoint="http://[::1]:9000", region="default"),
}
every_place = pytest.mark.parametrize("options", PLACES.values(), ids=PLACES)


@asynccontextmanager
async def opened(options: StorageOptions) -> AsyncIterator[Storage]:
    keyed = replace(options, access_key="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI")
    async with open_storage(keyed) as storage:
        yield storage


def rotate(storage: Storage) -> None:
    """Gives temporary credentials to all signers of this storage."""
    credentials = storage.credentials
    credentials.access_key = "ASIA/odd+key"
    credentials.secret_key = "sec/ret+="
    credentials.token = "FwoGZX//IvYX+0zdz=" * 30


@dataclass(frozen=True)
class Case:
    """A request to sign in all three ways."""

    time: datetime
    key: str
    headers: dict[str, str]
    answer_with: dict[str, str]
    fields: dict[str, str]
    max_size: int
    seconds: int

    async def signed_by(self, signer: UrlSigner) -> tuple[object, ...]:
        with signing_at(lambda: self.time):
            return (
                await signer.put(self.key, self.headers, self.seconds),
                await signer.get(self.key, self.answer_with, self.seconds),
                await signer.form(self.key, self.fields, (0, self.max_size), self.seconds),
            )


def cases() -> list[Case]:
    """The same cases in every run."""
    random = Random(SEED)  # noqa: S311
    return [some_case(random) for _ in range(CASES)]


def some_case(random: Random) -> Case:
    content_type = random.choice(BODY_TYPES)
    return Case(
        time=datetime.fromtimestamp(random.randrange(2**32), UTC),
        key=some_text(random, UNUSUAL),
        headers={
            "content-length": str(random.randrange(2**40)),
            "content-type": content_type,
            **some_of(
                random,
                {
                    "content-md5": some_digest(random, 24),
                    "x-amz-checksum-sha256": some_digest(random, 44),
                    "x-amz-sdk-checksum-algorithm": random.choice(["SHA256", "CRC64NVME"]),
                    "if-none-match": "*",
                },
            ),
        },
        answer_with=some_of(
            random,
            {
                "response-content-type": content_type,
                "response-content-disposition": f"attachment; filename={random.choice(NAMES)}",
                "response-cache-control": "private, no-store",
            },
        ),
        fields={
            "Content-Type": content_type,
            **some_of(random, {"x-amz-checksum-crc32c": some_digest(random, 8)}),
        },
        max_size=random.randrange(1, 2**40),
        seconds=random.choice([1, 60, 3600, 604_800, random.randrange(1, 604_800)]),
    )


def some_text(random: Random, alphabet: str) -> str:
    return "".join(random.choices(alphabet, k=random.randint(1, 60)))


def some_digest(random: Random, length: int) -> str:
    return "".join(random.choices(f"{string.ascii_letters}{string.digits}+/", k=length - 1)) + "="


def some_of(random: Random, offered: dict[str, str]) -> dict[str, str]:
    names = random.sample(sorted(offered), random.randint(0, len(offered)))
    return {name: offered[name] for name in names}


@every_place
async def test_urls_and_forms_are_those_of_the_sdk(options: StorageOptions) -> None:
    async with opened(options) as storage:
        own = await choose_signer(storage)
        assert isinstance(own, OwnSigner)
        sdk = SdkSigner(storage.signing, options.bucket)

        for case in cases():
            assert await case.signed_by(own) == await case.signed_by(sdk), case
        rotate(storage)
        for case in cases():
            assert await case.signed_by(own) == await case.signed_by(sdk), case


async def test_the_switch_leaves_all_to_the_sdk() -> None:
    async with opened(replace(PLACES["aws"], fast=False)) as storage:
        assert isinstance(await choose_signer(storage), SdkSigner)
        assert storage.clients is None


@pytest.mark.parametrize(
    ("bucket", "signature"),
    [
        ("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", None),
        ("bucket", "s3"),
    ],
    ids=["many_regions", "old_signature"],
)
async def test_other_signatures_are_left_to_the_sdk(bucket: str, signature: str | None) -> None:
    session = get_session()
    session.set_credentials("AKIA", "SECRET")
    config = AioConfig(signature_version=signature)
    async with session.create_client("s3", region_name="eu-central-1", config=config) as client:
        credentials = await session.get_credentials()
        assert credentials is not None
        assert await discover(client, credentials, bucket) is None


async def test_an_sdk_that_adds_to_a_url_is_left_to_itself() -> None:
    def add(request: AWSRequest, **_: object) -> None:
        request.headers["x-amz-request-payer"] = "requester"

    async with opened(PLACES["aws"]) as storage:
        storage.signing.meta.events.register("before-sign.s3", add)

        assert isinstance(await choose_signer(storage), SdkSigner)


async def test_a_second_that_begins_while_the_sdk_signs_has_no_effect() -> None:
    started, readings = datetime.now(UTC), count()
    async with opened(PLACES["aws"]) as storage:
        with signing_at(lambda: started + timedelta(seconds=next(readings))):
            assert isinstance(await choose_signer(storage), OwnSigner)


@pytest.mark.parametrize("refreshes", [1, 2])
async def test_only_a_difference_that_lasts_leaves_signing_to_the_sdk(
    monkeypatch: pytest.MonkeyPatch, refreshes: int
) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr("attachery_service.s3.bucket.endpoint._log", logger)
    async with opened(PLACES["aws"]) as storage:
        left = iter(range(refreshes))

        def refresh(**_: object) -> None:
            if next(left, None) is not None:
                storage.credentials.secret_key += "x"

        storage.signing.meta.events.register("before-parameter-build.s3.GetObject", refresh)

        signer = await choose_signer(storage)

    reasons = [call.kwargs["reason"] for call in logger.calls]
    if refreshes == 1:
        assert (type(signer), reasons) == (OwnSigner, [])
    else:
        assert (type(signer), reasons) == (SdkSigner, ["the SDK signs a URL differently"])
