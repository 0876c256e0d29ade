"""Office documents, documents for printers, and fonts."""

from __future__ import annotations

from typing import Final

from attachery_service.media.signatures.formats import one_format
from attachery_service.media.signatures.names import OFFICE_OPEN_XML

_WORD: Final = "application/msword application/vnd.ms-word"
_EXCEL: Final = "application/vnd.ms-excel application/msexcel application/excel"
_POWERPOINT: Final = "application/vnd.ms-powerpoint application/mspowerpoint application/powerpoint"
_ILLUSTRATOR: Final = "application/illustrator application/vnd.adobe.illustrator"
_POSTSCRIPT: Final = "application/postscript application/eps image/eps image/x-eps"
_SFNT: Final = """
    font/otf font/ttf font/sfnt font/collection application/font-sfnt application/x-font-sfnt
    application/x-font-ttf application/x-font-otf application/x-font-opentype
    application/x-font-truetype application/vnd.ms-opentype
"""
_PDF_HEADER_WITHIN: Final = 1024


def _has_pdf_header(first_bytes: bytes) -> bool:
    """Whether there is a PDF header, perhaps after junk (PDF Reference 1.7, appendix H, 13)."""
    return b"%PDF-" in first_bytes[:_PDF_HEADER_WITHIN]


DOCUMENTS: Final = (
    one_format(f"application/pdf application/x-pdf {_ILLUSTRATOR} {_POSTSCRIPT}", rb"%PDF-",
               text=True),
    one_format("application/pdf application/x-pdf", _has_pdf_header, text=True, weak=True),
    one_format("application/vnd.fdf application/fdf", rb"%FDF-", text=True),
    one_format(f"{_POSTSCRIPT} {_ILLUSTRATOR}",
               rb"(?:\xef\xbb\xbf)?[\x04\r\n]*%!PS|\xc5\xd0\xd3\xc6|\x1b%-12345X", text=True),
    one_format(f"{_POSTSCRIPT} {_ILLUSTRATOR}", rb"[\x04\r\n]*%!", text=True, weak=True),
    one_format(f"application/rtf text/rtf {_WORD}",
               rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{\\rt", text=True),
    one_format(f"""
        application/x-ole-storage application/x-cfb {_WORD} {_EXCEL} {_POWERPOINT}
        application/vnd.visio application/vnd.ms-visio.viewer application/vnd.ms-outlook
        application/vnd.ms-project application/vnd.ms-publisher application/x-mspublisher
        application/vnd.ms-works application/x-msi application/x-ms-installer image/vnd.fpx
        application/vnd.hancom.hwp application/x-hwp application/haansofthwp {OFFICE_OPEN_XML}
        application/vnd.stardivision.writer application/vnd.stardivision.calc
        application/vnd.stardivision.impress application/vnd.stardivision.draw
        """, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    # Excel before OLE, Word for DOS and Windows 1 and 2, Word for Macintosh.
    one_format(_EXCEL, rb"\x09[\x00\x02\x04\x08][\x04\x06\x08\x10]\0", weak=True),
    one_format(_WORD, rb"\xdb\xa5\x2d\0|\x9b\xa5|\x31\xbe\0\0|\xfe\x37\0", weak=True),
    # Office 2003 wrote XML under the old names.
    one_format(f"{_WORD} {_EXCEL} {_POWERPOINT} application/vnd.visio application/vnd.ms-project",
               rb"(?:\xef\xbb\xbf)?<\?xml", text=True, weak=True),
    one_format("application/x-hwp application/vnd.hancom.hwp application/haansofthwp",
               rb"HWP Document File"),
    one_format("application/vnd.ms-outlook", rb"!BDN"),
    one_format("application/msaccess application/x-msaccess application/vnd.ms-access",
               rb"\0\x01\0\0Standard (?:Jet|ACE) DB"),
    one_format("application/vnd.wordperfect application/wordperfect", rb"\xffWPC"),
    one_format("application/vnd.ms-tnef application/ms-tnef", rb"\x78\x9f\x3e\x22"),
    one_format("application/vnd.ms-htmlhelp application/x-chm", rb"ITSF"),
    one_format("application/vnd.sqlite3 application/x-sqlite3 application/geopackage+sqlite3",
               rb"SQLite format 3\0"),
    one_format("application/x-mobipocket-ebook application/vnd.amazon.mobi8-ebook",
               rb".{60}(?:BOOKMOBI|TEXtREAd)|TPZ"),
    # Fonts. Programs accept one kind under the type of the other.
    one_format(_SFNT, rb"OTTO|\0\x01\0\0|true\0|typ1\0|ttcf\0"),
    one_format("font/woff application/font-woff application/x-font-woff font/woff2 "
               "application/font-woff2 application/x-font-woff2", rb"wOF[F2]"),
    one_format("application/vnd.ms-fontobject", rb".{34}LP"),
    one_format("application/x-font-type1 application/x-font-pfm",
               rb"\x80\x01.{4}%!|%!(?:PS-AdobeFont|FontType)|\0[\x01\x02]", text=True, weak=True),
)  # fmt: skip
