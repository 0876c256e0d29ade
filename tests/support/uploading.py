"""A simple uploader: it follows a target, with the test's changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from yarl import URL

from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.domain.transfers import TargetRequest, UploadTarget
from attachery_service.s3.digests import new_hash

BODY = b"hello, world\n"
OTHER_BODY = b"HELLO, WORLD\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of object storage."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        return 400 <= self.status < 500


@dataclass(frozen=True, slots=True)
class Uploader:
    """Plain HTTP, without an S3 library."""

    http: aiohttp.ClientSession

    async def send(
        self, target: UploadTarget, body: bytes = BODY, /, **changes: str | None
    ) -> Answer:
        """Follows the target; `changes` replace or (None) leave out headers or form fields.

        Their names are written with `_` for `-`.
        """
        changed = {name.replace("_", "-").lower(): value for name, value in changes.items()}
        if target.method == "POST":
            fields = _changed(target.form_fields, changed)
            return await self.request("POST", target.url, _form(fields, body))
        headers = {**_changed(target.headers, changed), "Content-Length": str(len(body))}
        return await self.request(target.method, target.url, body, headers)

    async def request(
        self,
        method: str,
        url: str,
        body: bytes | aiohttp.FormData = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        async with self.http.request(
            method,
            URL(url, encoded=True),
            data=body,
            headers=headers,
            # A form's type holds its boundary, so only a form may have one made up.
            skip_auto_headers=("Content-Type",) if isinstance(body, bytes) else (),
        ) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())


def put_request(key: str, body: bytes = BODY, **changes: object) -> TargetRequest:
    """A request for a PUT of these bytes, written once, with `changes`."""
    values = {
        "key": key,
        "content_type": "text/plain",
        "size": len(body),
        "max_size": 1024,
        "checksums": NO_CHECKSUMS,
        "write_once": True,
        "lifetime": timedelta(minutes=5),
    }
    return TargetRequest(**{**values, **changes})  # type: ignore[arg-type]


def form_request(key: str, **changes: object) -> TargetRequest:
    """A request for a form of 1 to 1024 bytes, with `changes`."""
    return put_request(key, BODY, **{"size": None, "is_form": True, "write_once": False, **changes})


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    """A body without a declared length in HTTP."""
    yield body


def checksums_of(body: bytes, *algorithms: Algorithm) -> Checksums:
    digests = {}
    for algorithm in algorithms:
        computed = new_hash(algorithm)
        computed.update(body)
        digests[algorithm] = computed.hexdigest()
    return Checksums.of(digests)


def _changed(named: Mapping[str, str], changed: Mapping[str, str | None]) -> dict[str, str]:
    folded = {name.lower() for name in named}
    new = {name: value for name, value in changed.items() if value and name not in folded}
    kept = {name: changed.get(name.lower(), value) for name, value in named.items()}
    return {name: value for name, value in kept.items() if value is not None} | new


def _form(fields: Mapping[str, str], body: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    # Object storage ignores fields after the file.
    form.add_field("file", body, filename="file", content_type="application/octet-stream")
    return form
