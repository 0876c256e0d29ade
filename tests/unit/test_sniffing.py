"""The detector names what binary formats say of themselves, and keeps silent on the rest."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import puremagic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachery_service.domain.checks import CheckOutcome, check_detected_type
from attachery_service.domain.content_types import is_media_type
from attachery_service.media.sniffing import detect_types

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ODT = "application/vnd.oasis.opendocument.text"


def zip_of(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return out.getvalue()


def tar_gz() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    return out.getvalue()


def box(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"isom"


HONEST = {
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1",
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1",
    "image/jpg": b"\xff\xd8\xff\xe1\0\x10Exif\0\0",
    "image/gif": b"GIF89a\1\0\1\0\x80\0\0\0\0\0",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 \0\0\0\0",
    "image/tiff": b"II*\0\x08\0\0\0",
    "image/heic": box(b"heic"),
    "image/avif": box(b"avif"),
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    "audio/x-wav": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    "audio/mpeg": b"ID3\3\0\0\0\0\0\x0f",
    "audio/mp4": box(b"M4A "),
    "audio/flac": b"fLaC\0\0\0\x22",
    "audio/ogg": b"OggS\0\2\0\0\0\0\0\0\0\0",
    "video/ogg": b"OggS\0\2\0\0\0\0\0\0\0\0",
    "video/mp4": box(b"mp42"),
    "video/quicktime": box(b"qt  "),
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1",
    "video/x-matroska": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1",
    "video/x-msvideo": b"RIFF\x24\0\0\0AVI LIST\0\0\0\0",
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "application/rtf": b"{\\rtf1\\ansi hello}",
    "application/zip": zip_of("a.txt"),
    "application/x-zip-compressed": zip_of("a.txt"),
    DOCX: zip_of("[Content_Types].xml", "_rels/.rels", "word/document.xml"),
    ODT: zip_of("mimetype", "content.xml"),
    "application/java-archive": zip_of("META-INF/MANIFEST.MF"),
    "application/msword": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
    "application/vnd.ms-excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
    "application/gzip": gzip.compress(b"hello"),
    "application/x-gzip": gzip.compress(b"hello"),
    "application/x-tar": tar_gz(),
    "application/x-7z-compressed": b"7z\xbc\xaf\x27\x1c\0\4",
    "application/vnd.rar": b"Rar!\x1a\7\1\0",
    "font/woff2": b"wOF2\0\1\0\0",
    "application/vnd.microsoft.portable-executable": b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff",
}

TEXTS = {
    "text/plain": b"hello, world\n",
    "text/html": b"<!DOCTYPE html><html><body>Hello</body></html>",
    "application/json": json.dumps({"a": [1, 2, {"b": None}]}).encode(),
    "text/csv": b"a,b,c\n1,2,3\n",
    "application/xml": b'<?xml version="1.0"?><a/>',
    "image/svg+xml": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "text/x-python": b"#!/usr/bin/env python\nprint(1)\n",
    "message/rfc822": b"From: a@b.example\nTo: c@d.example\n\nHello",
    "text/markdown": b"# Title\n\nText\n",
    "text/calendar": b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
    "text/x-pgp": b"-----BEGIN PGP MESSAGE-----\n",
}

# Texts that begin like something else.
TREACHEROUS = [b"BM is short for bitmap\n", b"ID3 tags are old\n", b"MZ was an initial\n",
               b"GIF89a is a format\n", b"OggS, RIFF, fLaC: magic numbers\n", b"Rar!\n",
               b"8BPS\n", b"PK was here\n", b"wOFF wOF2 OTTO\n", b"\xef\xbb\xbfwith a mark\n",
               "Übergröße\n".encode("latin-1"), b"MThd, said the file\n"]  # fmt: skip


@pytest.mark.parametrize("declared", HONEST)
def test_honest_files_are_what_they_say(declared: str) -> None:
    detected = detect_types(HONEST[declared])

    assert detected
    assert check_detected_type(declared, detected, enforced=True).outcome is CheckOutcome.PASSED


@pytest.mark.parametrize("actual", HONEST)
def test_binary_files_are_not_text(actual: str) -> None:
    detected = detect_types(HONEST[actual])

    check = check_detected_type("text/html", detected, enforced=True)

    assert check.outcome is CheckOutcome.FAILED


@pytest.mark.parametrize(
    ("first", "declared"),
    [("image/png", "image/jpeg"), ("application/zip", "image/png"),
     ("application/vnd.microsoft.portable-executable", "application/pdf"),
     ("application/pdf", DOCX), ("audio/wav", "image/webp"), ("application/msword", DOCX)],
)  # fmt: skip
def test_other_files_are_found_out(first: str, declared: str) -> None:
    check = check_detected_type(declared, detect_types(HONEST[first]), enforced=True)

    assert check.outcome is CheckOutcome.FAILED


@pytest.mark.parametrize(
    ("honest", "name"),
    [("image/png", "image/png"), (DOCX, "application/zip"),
     ("audio/wav", "audio/wav"), ("video/mp4", "video/mp4")],
)  # fmt: skip
def test_the_plainest_name_comes_first(honest: str, name: str) -> None:
    assert detect_types(HONEST[honest])[0] == name


@pytest.mark.parametrize("declared", TEXTS)
def test_texts_are_left_alone(declared: str) -> None:
    assert detect_types(TEXTS[declared]) == ()
    assert detect_types(TEXTS[declared] * 100) == ()
    assert detect_types(b"\n \t" + TEXTS[declared]) == ()


@pytest.mark.parametrize("text", TREACHEROUS)
def test_texts_that_begin_like_a_format_are_left_alone(text: bytes) -> None:
    assert detect_types(text) == ()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"\0" * 4096, b"\xff" * 100, b"a"],
    ids=["nothing", "one zero", "many zeros", "many ones", "a letter"],
)
def test_what_says_nothing_is_left_alone(content: bytes) -> None:
    assert detect_types(content) == ()


@given(st.binary(max_size=300))
def test_it_never_raises_and_always_answers_the_same(content: bytes) -> None:
    detected = detect_types(content)

    assert detect_types(content) == detected
    assert all(is_media_type(name) for name in detected)
    assert len(set(detected)) == len(detected)


@given(st.sampled_from(sorted(HONEST)), st.binary(max_size=50))
def test_what_follows_the_signature_does_not_matter(declared: str, rest: bytes) -> None:
    detected = detect_types(HONEST[declared] + rest)

    assert check_detected_type(declared, detected, enforced=True).outcome is CheckOutcome.PASSED


def test_a_detector_that_breaks_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_: bytes) -> None:
        raise OSError("tables are gone")

    monkeypatch.setattr(puremagic, "magic_string", break_down)

    assert detect_types(HONEST["image/png"]) == ()
