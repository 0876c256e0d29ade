"""The one form of an answer that is believed."""

from __future__ import annotations

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachery_service.storage.http1 import head_request, parsed

NAMES = st.text(string.ascii_letters + string.digits + "-_.~!#$%&'*+^`|", min_size=1)
# Whatever may stand in a line; Unicode has ends of lines of its own.
VALUES = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\u0085\u2028")
).map(lambda text: text.replace("\u0085", "").strip(" \t"))
HEADERS = st.dictionaries(NAMES, VALUES, max_size=20).filter(
    lambda headers: len({name.lower() for name in headers}) == len(headers)
)


@given(st.integers(200, 599), HEADERS, st.text(" \t", max_size=3))
def test_what_was_written_is_read(status: int, headers: dict[str, str], blank: str) -> None:
    fields = "".join(f"{name}:{blank}{value}{blank}\r\n" for name, value in headers.items())

    answer = parsed(f"HTTP/1.1 {status} So be it\r\n{fields}\r\n".encode())

    assert answer.status == status
    assert answer.headers == {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r\n")
def test_no_value_can_make_a_header_of_its_own(separator: str) -> None:
    """An uploader chooses metadata, and is told them by the store."""
    sent = f"HTTP/1.1 200 OK\r\nx-amz-meta-a: b{separator}etag: c\r\n\r\n"

    with suppress(ValueError):
        assert list(parsed(sent.encode()).headers) == ["x-amz-meta-a"]


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    for answer in (noise, noise + b"\r\n\r\n"):
        with pytest.raises(ValueError, match=r"plain|decode"):
            parsed(answer)


def test_a_request_has_nothing_but_its_headers() -> None:
    sent = head_request("/b/%C3%A4", {"host": "store:9000", "x-amz-date": "20260101T000000Z"})

    assert (
        sent
        == b"HEAD /b/%C3%A4 HTTP/1.1\r\nhost: store:9000\r\nx-amz-date: 20260101T000000Z\r\n\r\n"
    )
