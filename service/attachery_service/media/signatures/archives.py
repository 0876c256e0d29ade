"""Archives, compressed files, and formats that are archives."""

from __future__ import annotations

import re
from typing import Final

from attachery_service.media.signatures.formats import one_format
from attachery_service.media.signatures.names import METAFILES, OFFICE_OPEN_XML

_ODF: Final = "application/vnd.oasis.opendocument"
_OPEN_DOCUMENT: Final = " ".join(
    f"{_ODF}.{kind} {_ODF}.{kind}-template"
    for kind in (
        "text", "spreadsheet", "presentation", "graphics", "formula", "chart", "image", "database",
        "text-master", "text-web",
    )
)  # fmt: skip
_STAR_OFFICE: Final = " ".join(
    f"application/vnd.sun.xml.{kind} application/vnd.sun.xml.{kind}.template"
    for kind in ("writer", "calc", "impress", "draw", "math", "writer.global", "base")
)
_APPLE_OFFICE: Final = """
    application/vnd.apple.pages application/vnd.apple.numbers application/vnd.apple.keynote
    application/x-iwork-pages-sffpages application/x-iwork-numbers-sffnumbers
    application/x-iwork-keynote-sffkey
"""
_TAPES: Final = "application/x-tar application/x-gtar application/x-ustar"


_TAR_HEADER: Final = 512
_OCTAL: Final = re.compile(rb"[0-7]+")


def _is_tar(first_bytes: bytes) -> bool:
    """Whether the header has `ustar`, or a valid checksum of the seventh edition (POSIX.1, pax)."""
    header = first_bytes[:_TAR_HEADER]
    if header[257:262] == b"ustar":
        return True
    checksum = header[148:156].strip(b" \0")
    if len(header) < _TAR_HEADER or not _OCTAL.fullmatch(checksum):
        return False
    # The checksum is computed with spaces in its own field.
    return int(checksum, 8) == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


ARCHIVES: Final = (
    one_format(f"""
        application/zip application/x-zip-compressed application/x-zip {OFFICE_OPEN_XML}
        {_OPEN_DOCUMENT} {_STAR_OFFICE} {_APPLE_OFFICE}
        application/vnd.ms-xpsdocument application/oxps application/vnd.ms-officetheme
        application/epub+zip application/java-archive application/x-java-archive
        application/vnd.android.package-archive application/vnd.google-earth.kmz
        application/vnd.apple.pkpass application/vnd.apple.pkpasses application/vnd.comicbook+zip
        application/x-cbz application/vnd.comicbook-rar application/x-cbr
        application/x-xpinstall application/vnd.etsi.asic-e+zip
        application/vnd.etsi.asic-s+zip model/3mf
        application/vnd.ms-package.3dmanufacturing-3dmodel+xml
        model/vnd.usdz+zip model/vnd.usdz application/x-msix application/appx application/msix
        application/vsix application/x-wheel+zip
        application/vnd.geogebra.file application/vnd.recordare.musicxml image/openraster
        application/x-ms-wmz application/vnd.sketchup.skp application/widget
        """, rb"PK(?:\x03\x04|\x05\x06|\x07\x08|00PK\x03\x04)"),
    one_format("application/vnd.sketchup.skp", rb"\xff\xfe\xff\x0eS\0k\0e\0t\0c\0h"),
    one_format(f"""
        application/gzip application/x-gzip application/x-tgz application/x-gtar-compressed
        application/x-compressed-tar application/x-compressed application/tar+gzip
        application/x-tar-gz application/x-gnumeric application/x-abiword image/svg+xml
        application/x-ms-wmz application/x-ms-emz {METAFILES} {_TAPES}
        """, rb"\x1f\x8b[\x00-\x08]"),
    one_format(f"application/x-bzip2 application/bzip2 application/x-bzip "
               f"application/x-bzip2-compressed-tar {_TAPES}", rb"BZh[1-9]|BZ0"),
    one_format(f"application/x-xz application/x-xz-compressed-tar {_TAPES}", rb"\xfd7zXZ\0"),
    one_format(f"application/zstd application/x-zstd-compressed-tar {_TAPES}",
               rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    one_format(f"application/x-compress application/x-compressed {_TAPES}", rb"\x1f[\x9d\xa0]"),
    one_format("application/x-lzip", rb"LZIP\x01"),
    one_format("application/x-lz4", rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18"),
    one_format(_TAPES, _is_tar),
    one_format("application/x-7z-compressed application/x-cb7", rb"7z\xbc\xaf\x27\x1c"),
    one_format("application/vnd.rar application/x-rar-compressed application/x-rar "
               "application/vnd.comicbook-rar application/x-cbr application/vnd.comicbook+zip "
               "application/x-cbz", rb"Rar!\x1a\x07|RE~\x5e"),
    one_format("application/vnd.ms-cab-compressed application/x-cab", rb"MSCF\0|ISc\("),
    one_format("application/vnd.debian.binary-package application/x-debian-package "
               "application/x-deb application/x-archive", rb"!<arch>\n"),
    one_format("application/x-rpm application/x-redhat-package-manager", rb"\xed\xab\xee\xdb"),
    one_format("application/x-lha application/x-lzh application/x-lzh-compressed",
               rb"..-l[hz][0-9a-z]-"),
    one_format("application/x-ace-compressed application/x-ace", rb".{7}\*\*ACE\*\*"),
    one_format("application/x-arj", rb"\x60\xea", weak=True),
    one_format("application/x-chrome-extension", rb"Cr24"),
    one_format("application/x-bittorrent", rb"d[0-9]+:", text=True, weak=True),
    one_format("application/x-xar", rb"xar!\0"),
    one_format("application/x-cpio application/x-sv4cpio application/x-sv4crc application/x-bcpio",
               rb"07070[127]|\xc7\x71|\x71\xc7", text=True, weak=True),
    one_format("application/x-stuffit application/x-sit", rb"SIT!|StuffIt|SITD"),
)  # fmt: skip
