"""Still images."""

from __future__ import annotations

from typing import Final

from attachery_service.media import brands
from attachery_service.media.signatures.formats import Matcher, one_format
from attachery_service.media.signatures.names import METAFILES

_RAW_TIFF: Final = """
    image/x-adobe-dng image/dng image/x-canon-cr2 image/x-nikon-nef image/x-nikon-nrw
    image/x-sony-arw image/x-sony-sr2 image/x-sony-srf image/x-pentax-pef image/x-epson-erf
    image/x-samsung-srw image/x-kodak-dcr image/x-kodak-kdc image/x-hasselblad-3fr
    image/x-phaseone-iiq image/x-leica-rwl image/x-dcraw image/x-raw
"""


def _of(wanted: frozenset[bytes]) -> Matcher:
    return lambda first_bytes: brands.is_of(wanted, first_bytes)


IMAGES: Final = (
    one_format("image/png image/apng image/vnd.mozilla.apng", rb"\x89PNG\r\n\x1a\n"),
    one_format("video/x-mng image/x-mng", rb"\x8aMNG\r\n\x1a\n"),
    one_format("image/x-jng", rb"\x8bJNG\r\n\x1a\n"),
    one_format("image/jpeg image/jpg image/pjpeg image/jfif image/mpo image/jps", rb"\xff\xd8\xff"),
    one_format("image/gif", rb"GIF8[79]a"),
    one_format("image/webp", rb"RIFF....WEBP"),
    one_format(f"image/tiff image/tiff-fx image/geotiff {_RAW_TIFF}",
               rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]|IIRO|IIRS|MMOR|IIU\0"),
    one_format("image/x-olympus-orf", rb"IIRO|IIRS|MMOR|II\x2a\0|MM\0\x2a"),
    one_format("image/x-panasonic-rw2 image/x-panasonic-rw", rb"IIU\0|II\x2a\0"),
    one_format("image/x-canon-crw", rb"II\x1a\0\0\0HEAPCCDR"),
    one_format("image/x-fuji-raf image/x-raw image/x-dcraw", rb"FUJIFILMCCD-RAW "),
    one_format("image/x-sigma-x3f image/x-raw image/x-dcraw", rb"FOVb"),
    one_format("image/x-minolta-mrw image/x-raw image/x-dcraw", rb"\0MRM"),
    one_format("image/bmp image/x-ms-bmp image/x-bmp image/x-windows-bmp",
               rb"BM(?:.{4}\0{4}|.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c\xf0]\0{3})|BA.{12}BM"),
    one_format("image/vnd.microsoft.icon image/x-icon image/ico image/x-win-bitmap image/x-cursor",
               rb"\0\0[\x01\x02]\0[^\0]|\x89PNG\r\n\x1a\n|BM.{12}\x28\0\0\0",
               weak=True),
    one_format("image/vnd.adobe.photoshop image/psd application/x-photoshop image/x-psd", rb"8BPS"),
    one_format("image/heic image/heif image/heic-sequence image/heif-sequence image/avif "
               "image/avif-sequence image/avci image/avcs", _of(brands.HEIF)),
    one_format("image/jp2 image/jpx image/jpm image/jpeg2000 image/jp2k image/jph image/jphc "
               "image/x-jp2-codestream image/j2c",
               rb"\0\0\0\x0cjP[ \x1a]{2}\r\n\x87\n|\xff\x4f\xff\x51"),
    one_format("video/mj2 video/mjp2", rb"\0\0\0\x0cjP[ \x1a]{2}\r\n\x87\n"),
    one_format("image/jxl", rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    one_format("image/jxr image/vnd.ms-photo image/vnd.ms-wdp", rb"II\xbc[\0\x01]"),
    one_format("image/x-canon-cr3 image/x-raw image/x-dcraw", _of(brands.CANON_RAW)),
    one_format("image/x-portable-anymap image/x-portable-bitmap image/x-portable-graymap "
               "image/x-portable-pixmap image/x-portable-arbitrarymap", rb"P[1-7][\s#0-9]",
               text=True, weak=True),
    one_format("image/x-pcx image/pcx image/vnd.zbrush.pcx",
               rb"\x0a[\0\x02-\x05]", weak=True),
    one_format("image/fits application/fits", rb"SIMPLE  =", text=True, weak=True),
    one_format("application/dicom", rb".{128}DICM"),
    one_format("image/x-xcf image/xcf", rb"gimp xcf"),
    one_format("image/vnd.ms-dds image/x-dds", rb"DDS "),
    one_format("image/x-exr image/aces", rb"\x76\x2f\x31\x01"),
    one_format("image/x-icns image/icns", rb"icns"),
    one_format("image/vnd.djvu image/vnd.djvu+multipage image/x-djvu", rb"AT&TFORM"),
    one_format("image/emf image/x-emf application/emf application/x-emf", rb"\x01\0\0\0.{36} EMF"),
    one_format(METAFILES,
               rb"\xd7\xcd\xc6\x9a|[\x01\x02]\0\x09\0\0[\x01\x03]|\x01\0\0\0.{36} EMF"),
    one_format("image/vnd.dwg image/x-dwg application/acad", rb"AC10|AC[12]\.|MC0\.0", weak=True),
)  # fmt: skip
