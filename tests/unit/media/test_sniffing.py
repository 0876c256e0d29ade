"""A type with a signature must have it, and a text must be text; nothing else fails."""

from __future__ import annotations

import mimetypes
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachery_client.transfer import guess_content_type
from attachery_service.domain.checks import CheckOutcome, check_detected_type
from attachery_service.domain.content_types import canonical, is_media_type
from attachery_service.media.signatures import FORMATS
from attachery_service.media.sniffing import compare_type, detect_types, has_signature
from attachery_service.media.text import is_text
from support.sniffing_samples import (
    DOCX,
    ELF,
    EXE,
    HONEST,
    HOSTILE,
    JPEG,
    OLE,
    PDF,
    PNG,
    TEXTS,
    TREACHEROUS,
    ZIP,
    movie,
)

PASSED, FAILED, REPORTED, INCONCLUSIVE = (
    CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.REPORTED, CheckOutcome.INCONCLUSIVE,
)  # fmt: skip
IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/heic", "image/avif",
          "image/bmp", "image/x-icon", "image/tiff", "image/jp2"]  # fmt: skip
SAMPLES = [*HONEST, *TEXTS]


def outcome(declared: str, content: bytes, *, enforced: bool = True) -> CheckOutcome:
    return check_detected_type(declared, compare_type(declared, content), enforced=enforced).outcome


@pytest.mark.parametrize(("declared", "content"), HONEST)
def test_an_honest_file_passes(declared: str, content: bytes) -> None:
    assert outcome(declared, content) is PASSED
    assert outcome(declared.upper() + "; a=b", content) is PASSED


@pytest.mark.parametrize(("declared", "content"), TEXTS)
def test_an_honest_text_is_accepted(declared: str, content: bytes) -> None:
    expected = INCONCLUSIVE if declared == "application/edi-x12" else PASSED
    assert outcome(declared, content) is expected
    assert detect_types(content) == ()
    assert is_text(content)


def test_an_empty_file_is_an_honest_text() -> None:
    assert outcome("text/plain", b"") is PASSED
    assert outcome("application/json", b"") is PASSED


@pytest.mark.parametrize("text", TREACHEROUS)
def test_a_text_that_begins_with_the_letters_of_a_signature_is_text(text: bytes) -> None:
    assert outcome("text/plain", text) is PASSED
    assert detect_types(text) == ()


@pytest.mark.parametrize("declared", IMAGES)
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_file_of_another_kind_is_no_image(declared: str, content: bytes) -> None:
    if content is PNG and declared in ("image/png", "image/x-icon"):
        assert outcome(declared, content) is PASSED
        return
    assert outcome(declared, content) is FAILED
    assert outcome(declared, content, enforced=False) is REPORTED


@pytest.mark.parametrize("declared", ["audio/mpeg", "video/mp4", "application/pdf", DOCX,
                                      "application/zip", "font/woff2", "application/x-tar"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["html", "svg", "shell script", "elf", "zeros", "text", "ones"])
def test_hostile_bytes_are_no_media_document_or_archive(declared: str, name: str) -> None:
    assert outcome(declared, HOSTILE[name]) is FAILED


@pytest.mark.parametrize(
    ("declared", "content"),
    [("image/png", JPEG), (DOCX, PDF), ("application/pdf", ZIP), ("image/heic", movie(b"mp42")),
     ("video/mp4", movie(b"heic", b"mif1")), ("image/jpeg", movie(b"heic")),
     ("image/webp", b"RIFF\x24\0\0\0WAVEfmt "), ("audio/wav", b"RIFF\x24\0\0\0AVI LIST"),
     ("application/vnd.rar", ZIP), ("application/epub+zip", OLE), ("text/rtf", b"plain"),
     ("application/x.unheard-of+zip", OLE)],
)  # fmt: skip
def test_a_file_of_another_format_fails(declared: str, content: bytes) -> None:
    assert outcome(declared, content) is FAILED


@pytest.mark.parametrize("content", [b for _, b in HONEST if detect_types(b) or not is_text(b)])
def test_a_binary_file_is_no_text(content: bytes) -> None:
    for declared in ("text/html", "text/plain", "application/json", "application/xhtml+xml"):
        assert outcome(declared, content) is FAILED


@pytest.mark.parametrize(
    "content",
    [
        bytes(10),
        b"\0",
        b"a\0b",
        b"hello\0world",
        b"\xff\xfe" + bytes(8),
        bytes(range(256)),
        ELF,
        EXE,
    ],
    ids=ascii,
)
def test_bytes_that_no_encoding_has_are_no_text(content: bytes) -> None:
    assert not is_text(content)
    assert outcome("text/plain", content) is FAILED


@pytest.mark.parametrize(
    ("declared", "content"),
    [("application/octet-stream", PNG), ("application/octet-stream", b"text"),
     ("application/x-unheard-of", bytes(100)), ("application/x-unheard-of", PNG),
     ("application/x-unheard-of", b"text"), ("image/x-unheard-of", JPEG),
     ("image/png", b""), ("application/octet-stream", b""),
     ("text/vnd.trolltech.linguist", b"\x47" + bytes(9)),
     ("application/vnd.apple.installer+xml", b"xar!\0\x1c"),
     ("application/x-msdos-program", b"@echo off"),
     ("application/vnd.ms-excel", b"a;b\r\n1;2\r\n"), ("video/mp2t", b"export const a = 1;\n")],
)  # fmt: skip
def test_without_evidence_the_check_is_inconclusive(declared: str, content: bytes) -> None:
    assert outcome(declared, content) is INCONCLUSIVE
    assert outcome(declared, content, enforced=False) is INCONCLUSIVE


def test_a_type_of_the_large_table_can_pass_and_never_fails() -> None:
    assert outcome("application/x-blender", b"BLENDER-v300\0\1") is PASSED
    assert outcome("application/x-blender", b"\0\1\2\3") is INCONCLUSIVE


@pytest.mark.parametrize(
    ("content", "name"),
    [(PNG, "image/png"), (ZIP, "application/zip"), (movie(b"M4A "), "audio/mp4"),
     (movie(b"heic"), "image/heic"), (movie(b"avif"), "image/avif"),
     (movie(b"qt  "), "video/quicktime"), (b"\0\0\0\x08wide\0\0", "video/quicktime"),
     (movie(b"3gp5"), "video/3gpp"), (movie(b"isom"), "video/mp4"), (PDF, "application/pdf"),
     (b"BLENDER-v300\0\1", "application/x-blender")],
)  # fmt: skip
def test_the_plainest_name_of_a_format_is_detected(content: bytes, name: str) -> None:
    assert detect_types(content)[0] == name
    assert compare_type("application/octet-stream", content).detected == name


def test_a_text_declared_as_a_type_with_a_signature_is_reported_as_text() -> None:
    assert compare_type("image/png", HOSTILE["html"]).detected == "text/plain"


@given(st.binary(max_size=300), st.sampled_from([declared for declared, _ in SAMPLES]))
def test_no_bytes_raise_and_the_same_bytes_say_the_same(content: bytes, declared: str) -> None:
    detected = detect_types(content)
    assert compare_type(declared, content) == compare_type(declared, content)
    assert all(is_media_type(name) for name in detected)
    assert len(set(detected)) == len(detected)


@given(st.sampled_from(SAMPLES), st.integers(0, 600))
def test_a_file_that_is_cut_off_anywhere_raises_nothing(
    sample: tuple[str, bytes], length: int
) -> None:
    declared, content = sample
    compare_type(declared, content[:length])


@given(st.sampled_from(HONEST), st.binary(max_size=50))
def test_bytes_after_the_signature_do_not_matter(sample: tuple[str, bytes], rest: bytes) -> None:
    declared, content = sample
    if not has_signature(declared):
        return
    assert outcome(declared, content + rest) is PASSED


def guessed_types() -> dict[str, str]:
    """The client's guesses for every extension that this interpreter and machine list."""
    mimetypes.init()
    tables = (mimetypes.types_map, mimetypes.common_types, mimetypes.encodings_map)
    built_in = mimetypes.MimeTypes(filenames=()).types_map
    endings = {ending for table in (*tables, *built_in) for ending in table}
    return {ending: guess_content_type(f"name{ending}") for ending in sorted(endings)}


def honest_file(declared: str) -> bytes:
    """Returns a sample of a format that the type is listed with, else a text."""
    for each in FORMATS:
        if canonical(declared) in map(canonical, each.types):
            return next(content for _, content in SAMPLES if each.matches(content))
    return ZIP if declared.endswith("+zip") else b"some text\n"


def test_every_type_that_the_client_guesses_is_accepted() -> None:
    for ending, declared in guessed_types().items():
        assert is_media_type(declared)
        came = outcome(declared, honest_file(declared))
        assert came is PASSED or (came is INCONCLUSIVE and not has_signature(declared)), ending


@pytest.mark.parametrize("ending", [".ass", ".pot", ".art"])
def test_an_ending_of_two_kinds_of_files_is_no_type(ending: str) -> None:
    assert guess_content_type(f"name{ending}") == "application/octet-stream"


def installed_files(most: int) -> Iterator[Path]:
    """Real files of the interpreter and the installed wheels, a few of each extension."""
    seen: Counter[str] = Counter()
    for folder in ("purelib", "stdlib"):
        for path in sorted(Path(sysconfig.get_path(folder)).rglob("*")):
            seen[path.suffix] += path.is_file()
            if seen[path.suffix] <= most and path.is_file():
                yield path


def test_installed_files_are_accepted_under_the_types_of_their_names() -> None:
    judged = 0
    for path in installed_files(most=10):
        with path.open("rb") as file:
            first = file.read(4096)
        declared = guess_content_type(path.name)
        assert outcome(declared, first) is not FAILED, (path, declared)
        judged += 1
    assert judged > 50, sys.prefix
