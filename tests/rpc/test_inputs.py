"""Valid requests: each field by its rule, and every violation reported at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import resources_pb2 as pb
from support.failures import failure
from support.service_fixtures import ServiceUnderTest


@pytest.fixture
def service(shared_service: ServiceUnderTest) -> ServiceUnderTest:
    return shared_service


pytestmark = pytest.mark.bad_input

FINE: dict[str, Any] = {"filename": "a.txt", "content_type": "text/plain", "size_bytes": 1}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("filename", "", "INVALID_FILENAME"),
        ("filename", "é" * 256, "INVALID_FILENAME"),
        ("filename", "../../etc/passwd", "INVALID_FILENAME"),
        ("filename", "a\\b", "INVALID_FILENAME"),
        ("filename", ".", "INVALID_FILENAME"),
        ("filename", "..", "INVALID_FILENAME"),
        ("filename", "a.txt ", "INVALID_FILENAME"),
        ("filename", "\u00a0a.txt", "INVALID_FILENAME"),
        ("filename", "a\x00b", "INVALID_FILENAME"),
        ("filename", "a\x7fb", "INVALID_FILENAME"),
        ("filename", "a\x85b", "INVALID_FILENAME"),
        ("filename", 'a\r\n"; filename=evil', "INVALID_FILENAME"),
        ("filename", "a\u2028b", "INVALID_FILENAME"),
        ("filename", "a\u2029b", "INVALID_FILENAME"),
        ("filename", "a\ue000b", "INVALID_FILENAME"),
        ("filename", "a\U000f0000b", "INVALID_FILENAME"),
        ("filename", "a\U0010fffdb", "INVALID_FILENAME"),
        ("filename", "a\ufdd0b", "INVALID_FILENAME"),
        ("filename", "a\uffffb", "INVALID_FILENAME"),
        ("filename", "a\U0001fffeb", "INVALID_FILENAME"),
        ("filename", "\u202e", "INVALID_FILENAME"),
        ("filename", ".\u200b.", "INVALID_FILENAME"),
        ("filename", "\u200ba.txt \u200b", "INVALID_FILENAME"),
        ("filename", "\u200d\u200c", "INVALID_FILENAME"),
        ("filename", "\u3164", "INVALID_FILENAME"),
        ("filename", "\u2003a", "INVALID_FILENAME"),
        ("filename", "a" + "\u200b" * 1024, "INVALID_FILENAME"),
        ("filename", "😀" * 256, "INVALID_FILENAME"),
        ("content_type", "", "INVALID_CONTENT_TYPE"),
        ("content_type", "x", "INVALID_CONTENT_TYPE"),
        ("content_type", "a/b/c", "INVALID_CONTENT_TYPE"),
        ("content_type", "a/b\r\nx: y", "INVALID_CONTENT_TYPE"),
        ("content_type", "a/" + "b" * 254, "INVALID_CONTENT_TYPE"),
        ("content_type", 'text/plain; name="a\rb"', "INVALID_CONTENT_TYPE"),
        ("content_type", "text/plain, text/html", "INVALID_CONTENT_TYPE"),
        ("content_type", "tëxt/plain", "INVALID_CONTENT_TYPE"),
        ("size_bytes", 0, "SIZE_OUT_OF_RANGE"),
        ("size_bytes", -1, "SIZE_OUT_OF_RANGE"),
        ("size_bytes", 157_286_401, "SIZE_OUT_OF_RANGE"),
        ("size_bytes", 2**63 - 1, "SIZE_OUT_OF_RANGE"),
        ("checksums", {"md5": "a" * 31}, "INVALID_CHECKSUM"),
        ("checksums", {"md5": "a" * 33}, "INVALID_CHECKSUM"),
        ("checksums", {"md5": "g" * 32}, "INVALID_CHECKSUM"),
        ("checksums", {"sha256": "a" * 32}, "INVALID_CHECKSUM"),
        ("checksums", {"crc32c": "0x12345"}, "INVALID_CHECKSUM"),
        ("checksums", {"crc64nvme": "a" * 8}, "INVALID_CHECKSUM"),
        ("checksums", {"md5": "a" * 31 + "\n"}, "INVALID_CHECKSUM"),
        ("checksums", {"md5": "\u0660" * 32}, "INVALID_CHECKSUM"),
        ("content_id", "a b", "INVALID_CONTENT_ID"),
        ("content_id", "<>", "INVALID_CONTENT_ID"),
        ("content_id", "<<a>>", "INVALID_CONTENT_ID"),
        ("content_id", "<a", "INVALID_CONTENT_ID"),
        ("content_id", "a" * 129, "INVALID_CONTENT_ID"),
        ("content_id", "a\r\nb", "INVALID_CONTENT_ID"),
        ("disposition", 7, "INVALID_DISPOSITION"),
        ("purpose", "unknown", "INVALID_PURPOSE"),
        ("metadata", {str(n): "" for n in range(51)}, "INVALID_METADATA"),
        ("metadata", {"k" * 65: ""}, "INVALID_METADATA"),
        ("metadata", {"": "v"}, "INVALID_METADATA"),
        ("metadata", {"k": "v" * 513}, "INVALID_METADATA"),
        ("metadata", {"k": "a\x00b"}, "INVALID_METADATA"),
        ("request_id", "a\nb", "INVALID_REQUEST_ID"),
        ("request_id", "a\x00", "INVALID_REQUEST_ID"),
        ("request_id", "a\x7f", "INVALID_REQUEST_ID"),
        ("request_id", "\x85a", "INVALID_REQUEST_ID"),
        ("request_id", "x" * 501, "INVALID_REQUEST_ID"),
        ("request_id", "😀" * 501, "INVALID_REQUEST_ID"),
        ("ttl", timedelta(0), "INVALID_TTL"),
        ("ttl", timedelta(seconds=-1), "INVALID_TTL"),
        ("ttl", timedelta(seconds=59), "INVALID_TTL"),
        ("ttl", timedelta(hours=24, seconds=1), "INVALID_TTL"),
        ("ttl", Duration(seconds=2**62), "INVALID_TTL"),
        ("ttl", Duration(seconds=-(2**62)), "INVALID_TTL"),
        ("ttl", Duration(seconds=3600, nanos=2_000_000_000), "INVALID_TTL"),
        ("ttl", Duration(seconds=3600, nanos=-1), "INVALID_TTL"),
        ("expire_time", Timestamp(seconds=0), "INVALID_EXPIRE_TIME"),
        ("expire_time", Timestamp(seconds=253_402_300_800), "INVALID_EXPIRE_TIME"),
        ("expire_time", Timestamp(seconds=-(2**62)), "INVALID_EXPIRE_TIME"),
        ("object_retention", timedelta(0), "INVALID_OBJECT_RETENTION"),
        ("object_retention", timedelta(seconds=-1), "INVALID_OBJECT_RETENTION"),
        ("object_retention", timedelta(milliseconds=999), "INVALID_OBJECT_RETENTION"),
        ("object_retention", timedelta(days=30, seconds=1), "INVALID_OBJECT_RETENTION"),
        ("object_retention", Duration(seconds=2**62), "INVALID_OBJECT_RETENTION"),
        ("object_retention", Duration(seconds=60, nanos=-1), "INVALID_OBJECT_RETENTION"),
        ("metadata_retention", timedelta(0), "INVALID_METADATA_RETENTION"),
        ("metadata_retention", timedelta(days=-90), "INVALID_METADATA_RETENTION"),
        ("metadata_retention", timedelta(hours=23, minutes=59), "INVALID_METADATA_RETENTION"),
        ("metadata_retention", timedelta(days=365, seconds=1), "INVALID_METADATA_RETENTION"),
        ("metadata_retention", Duration(seconds=-(2**62)), "INVALID_METADATA_RETENTION"),
    ],
)
@pytest.mark.sample(5)
async def test_a_bad_field_of_start_is_refused_with_its_reason(
    service: ServiceUnderTest, field: str, value: Any, reason: str
) -> None:
    before = await service.database.fetchval("SELECT count(*) FROM upload_sessions")
    refused = await failure(service.start(**{**FINE, field: value}))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == reason
    assert [(name.partition(".")[0], why) for name, why in refused.violations] == [(field, reason)]
    assert refused.facts["httpStatus"] == "400"
    assert await service.database.fetchval("SELECT count(*) FROM upload_sessions") == before


@pytest.mark.parametrize(
    "attachment_id",
    [
        "",
        "x",
        " " * 36,
        "01890000-0000-7000-8000-00000000000A",
        "{01890000-0000-7000-8000-000000000000}",
        "urn:uuid:01890000-0000-7000-8000-000000000000",
        "01890000000070008000000000000000",
        "01890000-0000-7000-8000-00000000000\x00",
        "01890000-0000-7000-8000-000000000000\n",
        "../../../../etc/passwd",
    ],
)
@pytest.mark.sample(3)
async def test_an_id_has_one_form_only(service: ServiceUnderTest, attachment_id: str) -> None:
    for call in (
        service.get(attachment_id),
        service.complete(attachment_id),
        service.cancel(attachment_id),
    ):
        refused = await failure(call)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.reason == "INVALID_ATTACHMENT_ID"
        assert refused.violations == [("attachment_id", "INVALID_ATTACHMENT_ID")]


async def test_all_violations_are_reported_together_in_field_order(
    service: ServiceUnderTest,
) -> None:
    refused = await failure(
        service.start(
            request_id="a\nb",
            filename="",
            content_type="x",
            size_bytes=0,
            checksums={"md5": "x", "sha256": "y"},
            content_id="a b",
            disposition=9,
            purpose="nope",
            metadata={"": ""},
            ttl=timedelta(0),
            object_retention=timedelta(0),
            metadata_retention=timedelta(0),
        )
    )
    assert refused.reason == "INVALID_REQUEST_ID"
    assert refused.violations == [
        ("request_id", "INVALID_REQUEST_ID"),
        ("filename", "INVALID_FILENAME"),
        ("content_type", "INVALID_CONTENT_TYPE"),
        ("size_bytes", "SIZE_OUT_OF_RANGE"),
        ("checksums.md5", "INVALID_CHECKSUM"),
        ("checksums.sha256", "INVALID_CHECKSUM"),
        ("content_id", "INVALID_CONTENT_ID"),
        ("disposition", "INVALID_DISPOSITION"),
        ("purpose", "INVALID_PURPOSE"),
        ("metadata", "INVALID_METADATA"),
        ("ttl", "INVALID_TTL"),
        ("object_retention", "INVALID_OBJECT_RETENTION"),
        ("metadata_retention", "INVALID_METADATA_RETENTION"),
    ]


async def test_an_empty_request_lists_the_missing_fields(service: ServiceUnderTest) -> None:
    refused = await failure(service.start(filename="", content_type=""))
    assert refused.violations == [
        ("filename", "INVALID_FILENAME"),
        ("content_type", "INVALID_CONTENT_TYPE"),
    ]


async def test_a_refusal_never_repeats_the_sent_values(service: ServiceUnderTest) -> None:
    refused = await failure(service.start(filename="sECRET/\x00", content_id="sECRET !"))
    assert "sECRET" not in str(refused.status)
    assert "sECRET" not in refused.message


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "filename",
    [
        "a",
        "x" * 255,
        "é" * 255,
        "😀" * 251 + ".png",
        "Bericht „Q3“.pdf",
        "日本語.txt",
        "שלום.txt",
        "👩‍🔬.png",
        "نمی‌خواهم.txt",
        "with \"quotes\" and 'more'.txt",
        "CON",
        "a.jpg.exe",
        "trailing.",
        "%2e%2e",
    ],
)
async def test_a_fine_name_comes_back_exactly(service: ServiceUnderTest, filename: str) -> None:
    assert (await service.start(**{**FINE, "filename": filename})).session.filename == filename


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "emoji",
    [
        "\U0001fae8",  # Unicode 15.0
        "\U0001fa77",  # 15.0
        "\u2ffc",  # 15.1
        "\U0001fae9",  # 16.0
        "\U0001f6d8",  # 17.0
        "\U0001fadf\u200d\U0001fac6",
        "\U0001faff",  # not assigned in 17.0
        "\U000e2000",
    ],
    ids=ascii,
)
async def test_acceptance_of_a_code_point_does_not_depend_on_the_interpreter(
    service: ServiceUnderTest, emoji: str
) -> None:
    name = f"{emoji}.png"
    assert (await service.start(**{**FINE, "filename": name})).session.filename == name


ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
TAGS = ENGLAND[1:]


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("u\u0308ber.txt", "\u00fcber.txt"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("\u200ea\u200fb\u061cc", "abc"),
        ("\u2066a\u2067b\u2068c\u2069", "abc"),
        ("a\u202ab\u202bc\u202dd\u202c", "abcd"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\ufeffmark.txt", "mark.txt"),
        ("zero\u200bwidth\u2060joined", "zerowidthjoined"),
        ("u\u200b\u0308ber.txt", "\u00fcber.txt"),
        ("a\U000e0080b", "ab"),
        (f"{ENGLAND}.txt", f"{ENGLAND}.txt"),
        (f"a{TAGS}.txt", "a.txt"),
        (f"{ENGLAND[:-1]}.txt", "\U0001f3f4.txt"),
        (f"\U0001f600{TAGS}.txt", "\U0001f600.txt"),
        ("e\u0301" * 255, "\u00e9" * 255),
        ("\u03b1\u0313\u0300\u0345" * 255, "\u1f82" * 255),
        ("\u0600\u06dd", "\u0600\u06dd"),
    ],
    ids=ascii,
)
async def test_a_name_is_stored_in_normal_form_c_without_invisible_characters(
    service: ServiceUnderTest, sent: str, stored: str
) -> None:
    assert (await service.start(**{**FINE, "filename": sent})).session.filename == stored


async def test_two_spellings_of_one_name_are_one_payload(service: ServiceUnderTest) -> None:
    sent = {**FINE, "request_id": "spelling", "filename": "u\u0308\u200bber.txt"}
    first = await service.start(**sent)
    again = await service.start(**{**sent, "filename": "\u00fcber.txt"})
    assert again.session.attachment_id == first.session.attachment_id


@pytest.mark.requirement("A16")
@pytest.mark.parametrize(
    "content_type",
    ["image/png", "application/ics", 'image/png; name="pic.png"', "TEXT/Plain;charset=UTF-8"],
)
async def test_content_type_is_passed_through_with_its_parameters(
    service: ServiceUnderTest, content_type: str
) -> None:
    started = await service.start(**{**FINE, "content_type": content_type})
    assert started.session.content_type == content_type
    assert await service.send(started.target, b"x") == 200
    assert (await service.complete(started.session.attachment_id)).attachment.content_type == (
        content_type
    )


@pytest.mark.requirement("A8")
@pytest.mark.parametrize(
    ("content_id", "disposition", "expected"),
    [
        ("", pb.DISPOSITION_UNSPECIFIED, pb.DISPOSITION_ATTACHMENT),
        ("ii_1@mail", pb.DISPOSITION_UNSPECIFIED, pb.DISPOSITION_INLINE),
        ("ii_1@mail", pb.DISPOSITION_ATTACHMENT, pb.DISPOSITION_ATTACHMENT),
        ("", pb.DISPOSITION_INLINE, pb.DISPOSITION_INLINE),
    ],
)
async def test_content_id_alone_means_inline(
    service: ServiceUnderTest, content_id: str, disposition: int, expected: int
) -> None:
    started = await service.start(**{**FINE, "content_id": content_id, "disposition": disposition})
    assert started.session.disposition == expected
