"""The brands of ISO base media files (ISO/IEC 14496-12, section 4.3), which name their content.

Sources: the MP4 Registration Authority's list (https://mp4ra.org/registered-types/brands);
ISO/IEC 23008-12 (HEIF), section 10; AV1 Image File Format 1.1, section 8; ISO/IEC 15444-1, -2, -3
and -6 (JPEG 2000); ISO/IEC 18181-2 (JPEG XL); ISO/IEC 21122-3 (JPEG XS). Canon registers no
brand for CR3: https://github.com/lclevy/canon_cr3.
"""

from __future__ import annotations

import re
from typing import Final


def _brands(names: str) -> frozenset[bytes]:
    """Brands have four characters; shorter names are padded with spaces."""
    return frozenset(name.ljust(4).encode() for name in names.split())


# Still images and image sequences, in any coding. Cameras and tools use their extensions for each
# other's files (Canon's HEVC images end in .hif, which Debian's table takes for AVIF).
HEIF: Final = _brands(
    "mif1 mif2 mif3 msf1 miaf heic heix heim heis hevc hevx hevm hevs avif avis avio MA1A MA1B "
    "avci avcs jpeg jpgs j2ki j2is vvic vvis evbi evbs evmi evms unif 1pic MiHA MiHB MiHE MiAB"
)
JPEG_2000: Final = _brands("jp2 jpx jpxb jpm jph")
JPEG_XL: Final = _brands("jxl")
JPEG_XS: Final = _brands("jxs")
CANON_RAW: Final = _brands("crx")

_STILL: Final = HEIF | JPEG_2000 | JPEG_XL | JPEG_XS | CANON_RAW

# The usual media type for a major brand, cut to three letters.
_TYPES: Final = {
    **dict.fromkeys((b"M4A", b"M4B", b"M4P"), "audio/mp4"),
    b"qt ": "video/quicktime",
    b"3gp": "video/3gpp",
    b"3g2": "video/3gpp2",
    b"avi": "image/avif",
    **dict.fromkeys((b"hei", b"hev"), "image/heic"),
    b"mif": "image/heif",
    b"msf": "image/heif-sequence",
    b"mjp": "video/mj2",
}

# QuickTime files older than brands, and fragments of a stream, begin with one of these.
_BOX_WITHOUT_BRAND: Final = re.compile(
    rb"....(?:moov|mdat|wide|free|skip|pnot|styp|moof|sidx|emsg|prft|PICT)", re.DOTALL
)
_MAX_BRANDS: Final = 64


def brands_of(first_bytes: bytes) -> frozenset[bytes]:
    """Returns the major brand and the compatible ones; empty without an `ftyp` box at the start."""
    if first_bytes[4:8] != b"ftyp" or not first_bytes[8:]:
        return frozenset()
    end = min(int.from_bytes(first_bytes[:4], "big"), len(first_bytes), 16 + 4 * _MAX_BRANDS)
    compatible = (first_bytes[at : at + 4] for at in range(16, end - 3, 4))
    return frozenset({first_bytes[8:12], *compatible})


def is_of(wanted: frozenset[bytes], first_bytes: bytes) -> bool:
    """Whether the file names one of these brands."""
    return not wanted.isdisjoint(brands_of(first_bytes))


def is_movie(first_bytes: bytes) -> bool:
    """Whether the file is audio or video: its major brand is no still image's, or it has no brand.

    New brands of movies appear every year, so an unknown one counts.
    """
    if brands_of(first_bytes):
        return first_bytes[8:12] not in _STILL
    return _BOX_WITHOUT_BRAND.match(first_bytes) is not None


def plainest_type(first_bytes: bytes) -> str | None:
    """Returns the media type of the major brand; None for an unknown brand."""
    if brands_of(first_bytes):
        return _TYPES.get(first_bytes[8:11])
    return "video/quicktime" if _BOX_WITHOUT_BRAND.match(first_bytes) else None
