"""The only accepted form of a response."""

from __future__ import annotations

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachery_service.s3.http.headers import READ_HEADERS
from attachery_service.s3.http.http1 import head_request, parse_response

NAMES = st.sampled_from(sorted(READ_HEADERS)) | st.text(
    string.ascii_letters + string.digits + "-_.~!#$%&'*+^`|", min_size=1
)
FORBIDDEN = {chr(code) for code in (*range(0x20), 0x7F)}
# Any bytes but the control characters that HTTP forbids.
VALUES = st.binary().map(
    lambda raw: "".join(c for c in raw.decode("latin-1") if c == "\t" or c not in FORBIDDEN).strip(
        " \t"
    )
)
LENGTHS = st.integers(0, 2**64 - 1).map(str)
HEADERS = (
    st.dictionaries(NAMES, VALUES, max_size=20)
    .flatmap(
        lambda headers: st.fixed_dictionaries(
            {
                name: LENGTHS if name.lower() == "content-length" else st.just(value)
                for name, value in headers.items()
            }
        )
    )
    .filter(lambda headers: len({name.lower() for name in headers}) == len(headers))
)


@given(st.integers(200, 599), HEADERS, st.text(" \t", max_size=3))
def test_written_headers_are_read_back(status: int, headers: dict[str, str], blank: str) -> None:
    fields = "".join(f"{name}:{blank}{value}{blank}\r\n" for name, value in headers.items())

    answer = parse_response(f"HTTP/1.1 {status} So be it\r\n{fields}\r\n".encode("latin-1"))

    assert answer.status == status
    assert answer.headers == {
        name.lower(): value for name, value in headers.items() if name.lower() in READ_HEADERS
    }


@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r\n")
def test_no_value_can_make_a_header_of_its_own(separator: str) -> None:
    """An uploader chooses metadata, which object storage repeats in its response."""
    sent = f"HTTP/1.1 200 OK\r\nx-amz-meta-a: b{separator}etag: c\r\n\r\n"

    for encoding in ("utf-8", "latin-1"):
        with suppress(ValueError):
            assert parse_response(sent.encode(encoding)).headers == {}


@pytest.mark.parametrize(
    "fields",
    [
        "content-length: 5x",
        "content-length: -5",
        "content-length:",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "etag: a\r\netag: b",
        "etag : a",
        "etag: a\r\n b",
        "etag: a\nx: b",
        "etag: a\x00b",
    ],
)
def test_ambiguous_headers_are_refused(fields: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse_response(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode())


@pytest.mark.parametrize(
    "response",
    [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_only_one_final_response_without_a_body_is_accepted(response: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse_response(response.encode())


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    for answer in (noise, noise + b"\r\n\r\n"):
        with pytest.raises(ValueError, match="malformed"):
            parse_response(answer)


def test_a_request_has_only_its_headers() -> None:
    sent = head_request("/b/%C3%A4", {"host": "store:9000", "x-amz-date": "20260101T000000Z"})

    assert (
        sent
        == b"HEAD /b/%C3%A4 HTTP/1.1\r\nhost: store:9000\r\nx-amz-date: 20260101T000000Z\r\n\r\n"
    )
