"""What the first bytes of a file say it is: a check of consistency, never a proof of safety.

The tables of puremagic know far more than can be relied on: signatures of two bytes that begin
many a text, one signature under a dozen names, names that are wrong. So it is believed only for
the formats listed here, only for a signature of the length given here, and of each such signature
all the types are named that honest files with it are declared as. Of plain text nothing is said:
HTML, JSON, CSV and source code begin with whatever they like.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import puremagic

# Text holds none of these. Files of the binary formats below hold one within their headers.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_OOXML: Final = "application/vnd.openxmlformats-officedocument"
_ODF: Final = "application/vnd.oasis.opendocument"

_ZIP: Final = (
    "application/zip", "application/x-zip-compressed",
    f"{_OOXML}.wordprocessingml.document", f"{_OOXML}.wordprocessingml.template",
    f"{_OOXML}.spreadsheetml.sheet", f"{_OOXML}.spreadsheetml.template",
    f"{_OOXML}.presentationml.presentation", f"{_OOXML}.presentationml.template",
    f"{_OOXML}.presentationml.slideshow",
    "application/vnd.ms-word.document.macroenabled.12",
    "application/vnd.ms-word.template.macroenabled.12",
    "application/vnd.ms-excel.sheet.macroenabled.12",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    "application/vnd.ms-excel.template.macroenabled.12",
    "application/vnd.ms-excel.addin.macroenabled.12",
    "application/vnd.ms-powerpoint.presentation.macroenabled.12",
    "application/vnd.ms-powerpoint.slideshow.macroenabled.12",
    "application/vnd.ms-powerpoint.template.macroenabled.12",
    "application/vnd.ms-visio.drawing.main+xml", "application/vnd.ms-visio.drawing",
    "application/vnd.ms-xpsdocument", "application/oxps", "application/vnd.ms-outlook",
    f"{_ODF}.text", f"{_ODF}.text-template", f"{_ODF}.spreadsheet",
    f"{_ODF}.spreadsheet-template", f"{_ODF}.presentation", f"{_ODF}.presentation-template",
    f"{_ODF}.graphics", f"{_ODF}.formula", f"{_ODF}.chart", f"{_ODF}.database",
    "application/vnd.apple.pages", "application/vnd.apple.numbers", "application/vnd.apple.keynote",
    "application/x-iwork-pages-sffpages", "application/x-iwork-numbers-sffnumbers",
    "application/x-iwork-keynote-sffkey",
    "application/epub+zip", "application/java-archive", "application/x-java-archive",
    "application/vnd.android.package-archive", "application/vnd.google-earth.kmz",
    "application/vnd.comicbook+zip", "application/x-cbz", "application/x-xpinstall",
    "application/vnd.etsi.asic-e+zip", "application/vnd.etsi.asic-s+zip", "model/3mf",
    "model/vnd.usdz+zip", "model/vnd.usdz", "application/geopackage+zip", "application/gtfs+zip",
    "application/bagit+zip",
    "application/x-msix", "application/appx", "application/msix",
)  # fmt: skip
_OLE: Final = (
    "application/x-ole-storage", "application/x-cfb",
    "application/msword", "application/vnd.ms-word", "application/vnd.ms-excel",
    "application/msexcel", "application/x-excel", "application/vnd.ms-powerpoint",
    "application/mspowerpoint", "application/vnd.visio", "application/vnd.ms-visio.viewer",
    "application/vnd.ms-outlook", "application/vnd.ms-project", "application/vnd.ms-publisher",
    "application/x-mspublisher", "application/vnd.ms-works", "application/x-msi",
    "application/x-ms-installer", "application/x-msdownload", "image/vnd.fpx",
    "application/vnd.hancom.hwp", "application/x-hwp", "application/haansofthwp",
)  # fmt: skip
_OGG: Final = (
    "audio/ogg", "video/ogg", "application/ogg", "audio/opus", "audio/vorbis", "audio/speex",
    "audio/flac",
)  # fmt: skip
_MATROSKA: Final = (
    "video/webm", "audio/webm", "video/x-matroska", "audio/x-matroska", "video/x-matroska-3d",
    "application/x-matroska",
)  # fmt: skip
_MPEG4: Final = (
    "video/mp4", "audio/mp4", "application/mp4", "video/x-m4v", "audio/x-m4a", "audio/aac",
    "video/quicktime", "video/3gpp", "audio/3gpp", "video/3gpp2", "audio/3gpp2", "video/mp4v-es",
)  # fmt: skip
_HEIF: Final = (
    "image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence", "image/avif",
)  # fmt: skip
_TIFF: Final = (
    "image/tiff", "image/tiff-fx", "image/x-adobe-dng", "image/x-canon-cr2", "image/x-nikon-nef",
    "image/x-sony-arw", "image/x-pentax-pef", "image/x-epson-erf", "image/x-dcraw", "image/x-raw",
    "image/geotiff", "image/x-samsung-srw",
)  # fmt: skip
_GZIP: Final = (
    "application/gzip", "application/x-gzip", "application/x-tgz", "application/x-gtar",
    "application/x-gtar-compressed", "application/x-compressed-tar", "application/x-compressed",
    "application/x-tar", "application/tar+gzip", "image/svg+xml", "image/emf", "image/wmf",
    "application/x-tar-gz", "application/x-gnumeric", "application/x-abiword",
)  # fmt: skip
_PE: Final = (
    "application/vnd.microsoft.portable-executable", "application/x-msdownload",
    "application/x-msdos-program", "application/x-dosexec", "application/x-exe",
    "application/x-winexe", "application/exe",
)  # fmt: skip


class _Format(NamedTuple):
    """A format by the ending puremagic knows it by.

    `least`: bytes its signature must have. `types`: what its files are declared as, the plainest
    name first. `text`: whether its files may be all text.
    """

    least: int
    types: tuple[str, ...]
    text: bool = False


_FORMATS: Final = {
    ".png": _Format(8, ("image/png", "image/apng", "image/vnd.mozilla.apng")),
    ".jpg": _Format(3, ("image/jpeg", "image/jpg", "image/pjpeg", "image/jfif")),
    ".gif": _Format(6, ("image/gif",)),
    ".webp": _Format(8, ("image/webp",)),
    ".tiff": _Format(4, _TIFF),
    ".psd": _Format(4, ("image/vnd.adobe.photoshop", "image/psd", "application/x-photoshop")),
    ".heif": _Format(8, _HEIF),
    ".avif": _Format(8, ("image/avif", "image/avif-sequence")),
    ".wav": _Format(8, ("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave")),
    ".avi": _Format(8, ("video/x-msvideo", "video/avi", "video/msvideo", "video/vnd.avi")),
    ".flac": _Format(4, ("audio/flac", "audio/x-flac")),
    ".mid": _Format(4, ("audio/midi", "audio/x-midi", "audio/mid", "audio/sp-midi")),
    ".mp3": _Format(3, ("audio/mpeg", "audio/mp3", "audio/aac", "audio/aacp", "audio/flac")),
    ".mp4": _Format(8, _MPEG4),
    ".m4a": _Format(8, ("audio/mp4", "audio/x-m4a", "audio/aac", "video/mp4", "application/mp4")),
    ".mov": _Format(8, ("video/quicktime", "video/mp4")),
    ".webm": _Format(4, _MATROSKA),
    ".flv": _Format(4, ("video/x-flv", "video/flv")),
    ".oga": _Format(4, _OGG),
    ".ogg": _Format(4, _OGG),
    ".pdf": _Format(4, ("application/pdf", "application/x-pdf"), text=True),
    ".rtf": _Format(5, ("application/rtf", "text/rtf", "text/richtext"), text=True),
    ".zip": _Format(4, _ZIP),
    ".doc": _Format(8, _OLE),
    ".gz": _Format(3, _GZIP),
    ".xz": _Format(6, ("application/x-xz", "application/x-tar", "application/x-xz-compressed-tar")),
    ".zst": _Format(4, ("application/zstd", "application/x-zstd-compressed-tar")),
    ".7z": _Format(6, ("application/x-7z-compressed", "application/x-cb7")),
    ".rar": _Format(6, ("application/vnd.rar", "application/x-rar-compressed", "application/x-rar",
                        "application/vnd.comicbook-rar", "application/x-cbr")),
    ".woff": _Format(4, ("font/woff", "application/font-woff", "application/x-font-woff")),
    ".woff2": _Format(4, ("font/woff2", "application/font-woff2", "application/x-font-woff2")),
    ".exe": _Format(4, _PE),
}  # fmt: skip


def detect_types(first_bytes: bytes) -> Sequence[str]:
    """Media types the bytes speak for, the likeliest first; empty when they do not tell.

    Depends on the bytes alone, and never raises. A few hundred bytes are enough.
    """
    formats = _formats(first_bytes)
    if _CONTROL.search(first_bytes) is None:
        formats = [each for each in formats if each.text]
    return tuple(dict.fromkeys(name for each in formats for name in each.types))


def _formats(first_bytes: bytes) -> list[_Format]:
    """The formats whose signature is there, the longest signature first."""
    try:
        matches = puremagic.magic_string(first_bytes)
    # It reports "unknown" as an error, and fails in ways of its own on odd input.
    except Exception:
        return []
    known = [
        (len(match.byte_match), match.extension)
        for match in matches
        # An offset below zero is one from the end, and the end of the file is not at hand.
        if match.offset >= 0 and match.extension in _FORMATS
    ]
    ranked = sorted(known, key=lambda found: (-found[0], found[1]))
    return [_FORMATS[name] for length, name in ranked if length >= _FORMATS[name].least]
