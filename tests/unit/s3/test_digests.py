"""Conversion of digests between S3's form and the service's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachery_service.domain.checksums import DIGITS, Algorithm
from attachery_service.s3.digests import new_hash, to_base64, to_hex

# Of the nine bytes "123456789", as every catalogue of CRCs lists them.
CHECK = {
    Algorithm.MD5: "25f9e794323b453885f5181f1b624d0b",
    Algorithm.SHA256: "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    Algorithm.CRC32C: "e3069283",
    Algorithm.CRC64NVME: "ae8b14860a799888",
}


def digests(algorithm: Algorithm) -> st.SearchStrategy[str]:
    size = DIGITS[algorithm] // 2
    return st.binary(min_size=size, max_size=size).map(bytes.hex)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_spellings_convert_back(algorithm: Algorithm) -> None:
    @given(digests(algorithm))
    def converts_back(digest: str) -> None:
        assert to_hex(algorithm, to_base64(digest)) == digest

    converts_back()


@given(st.sampled_from(Algorithm), st.text())
def test_invalid_text_is_no_digest(algorithm: Algorithm, value: str) -> None:
    digest = to_hex(algorithm, value)

    assert digest is None or to_base64(digest) == value


@pytest.mark.parametrize(
    "value", ["4waSgw==-2", "4waSgw", "4waSgw==\n", "", "4waS", "25f9e794323b453885f5181f1b624d0b"]
)
def test_composite_and_other_values_are_none(value: str) -> None:
    assert to_hex(Algorithm.CRC32C, value) is None


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_algorithms_are_the_published_ones(algorithm: Algorithm) -> None:
    computed = new_hash(algorithm)
    computed.update(b"1234")
    computed.update(b"56789")

    assert computed.hexdigest() == CHECK[algorithm]


@given(st.sampled_from(Algorithm), st.lists(st.binary(), max_size=5))
def test_pieces_do_not_matter(algorithm: Algorithm, pieces: list[bytes]) -> None:
    whole, pieced = new_hash(algorithm), new_hash(algorithm)
    whole.update(b"".join(pieces))
    for piece in pieces:
        pieced.update(piece)

    assert pieced.hexdigest() == whole.hexdigest()
    assert len(whole.hexdigest()) == DIGITS[algorithm]
