"""The beginnings of small valid files, and of hostile ones, for the tests of sniffing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

OOXML = "application/vnd.openxmlformats-officedocument"
DOCX = f"{OOXML}.wordprocessingml.document"
XLSX = f"{OOXML}.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"


def zip_of(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "content")
    return out.getvalue()


def tar(mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        archive.addfile(tarfile.TarInfo("empty"))
    return out.getvalue()


def old_tar() -> bytes:
    """A header of the seventh edition: no `ustar`, only a checksum."""
    header = bytearray(512)
    header[:5], header[100:107], header[124:135] = b"a.txt", b"0000644", b"00000000000"
    checksum = sum(header) + 8 * 0x20
    header[148:156] = b"%06o\0 " % checksum
    return bytes(header)


def movie(*brands: bytes) -> bytes:
    """A `ftyp` box; the first brand is the major one."""
    box = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return (len(box) + 4).to_bytes(4, "big") + box + b"\0\0\0\x08mdat"


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
ZIP = zip_of("a.txt")
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1"
TIFF = b"II*\0\x08\0\0\0"
OGG = b"OggS\0\2" + bytes(20)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
RTF = b"{\\rtf1\\ansi hello}"
MP3 = b"\xff\xfb\x90\x44" + bytes(100)
ELF = b"\x7fELF\2\1\1" + bytes(57)
EXE = b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff"
EBML = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1"
OPEN_TYPE = b"OTTO\0\x0b\0\x80\0\3\0\x30CFF "
TRUE_TYPE = b"\0\1\0\0\0\x0c\0\x80\0\3\0\x40GDEF"
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"

# By the type that they are declared as; each form of a format has a line.
HONEST: list[tuple[str, bytes]] = [
    ("image/png", PNG), ("image/apng", PNG),
    ("image/jpeg", JPEG), ("image/jpg", b"\xff\xd8\xff\xe1\0\x10Exif\0\0"), ("image/mpo", JPEG),
    ("image/gif", b"GIF89a\1\0\1\0\x80\0\0\0\0\0"), ("image/gif", b"GIF87a\1\0\1\0\0\0\0"),
    ("image/webp", b"RIFF\x24\0\0\0WEBPVP8 \0\0\0\0"),
    ("image/tiff", TIFF), ("image/tiff", b"MM\0*\0\0\0\x08"), ("image/tiff", b"II+\0\x08\0\0\0"),
    ("image/x-nikon-nef", b"MM\0*\0\0\0\x08"), ("image/x-canon-cr2", b"II*\0\x10\0\0\0CR\2\0"),
    ("image/x-canon-cr3", movie(b"crx ", b"isom")),
    ("image/x-olympus-orf", b"IIRO\x08\0\0\0"), ("image/x-fuji-raf", b"FUJIFILMCCD-RAW 0201\0"),
    ("image/bmp", b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"),
    ("image/vnd.microsoft.icon", b"\0\0\1\0\1\0\x10\x10\0\0"), ("image/x-icon", b"\0\0\1\0\2\0 "),
    ("image/vnd.adobe.photoshop", b"8BPS\0\1\0\0\0\0\0\0"),
    ("image/heic", movie(b"heic", b"mif1")), ("image/heic", movie(b"mif1", b"heic")),
    ("image/heic", movie(b"heix")), ("image/heif", movie(b"mif1")), ("image/heif", movie(b"msf1")),
    ("image/heic-sequence", movie(b"hevc", b"msf1")), ("image/heif", movie(b"heim")),
    ("image/heif", movie(b"isom", b"mif1")), ("image/avif", movie(b"avif", b"mif1")),
    ("image/avif", movie(b"avis", b"msf1")), ("image/avif", movie(b"heix", b"mif1")),
    ("image/jp2", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 "),
    ("image/jpx", b"\xff\x4f\xff\x51\0"),
    ("image/jxl", b"\xff\x0a\0\x10"), ("image/jxl", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("image/x-portable-pixmap", b"P6\n1 1\n255\n\0\0\0"),
    ("image/x-portable-bitmap", b"P1\n1 1\n0\n"),
    ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    ("image/svg+xml", gzip.compress(b"<svg/>", mtime=0)), ("image/vnd.dwg", b"AC1015\0\0\0\0\0\6"),
    ("image/emf", b"\1\0\0\0" + bytes(36) + b" EMF"), ("image/wmf", b"\xd7\xcd\xc6\x9a\0\0"),
    ("audio/wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"),
    ("audio/x-wav", b"RF64\xff\xff\xff\xffWAVEds64\0"),
    ("audio/mpeg", b"ID3\3\0\0\0\0\0\x0f"), ("audio/mpeg", MP3), ("audio/mpeg", bytes(8) + MP3),
    ("audio/mpeg", b"\xff\xf3\x84\xc4\0"), ("audio/aac", b"\xff\xf1\x50\x80\0\x1f\xfc"),
    ("audio/aac", b"ADIF\0\0"), ("audio/aac", b"ID3\4\0\0\0\0\0\x0f"),
    ("audio/aac", movie(b"M4A ")),
    ("audio/mp4", movie(b"M4A ", b"mp42")), ("audio/x-m4a", movie(b"M4B ")),
    ("audio/flac", b"fLaC\0\0\0\x22"), ("audio/flac", OGG), ("audio/flac", b"ID3\3\0\0\0\0\0\x0f"),
    ("audio/ogg", OGG), ("audio/opus", OGG), ("audio/vorbis", OGG), ("audio/speex", OGG),
    ("video/ogg", OGG), ("application/ogg", OGG),
    ("audio/aiff", b"FORM\0\0\0\x2eAIFFCOMM"), ("audio/x-aiff", b"FORM\0\0\0\x2eAIFCFVER"),
    ("audio/midi", b"MThd\0\0\0\6\0\1"), ("audio/amr", b"#!AMR\n\x3c"),
    ("audio/x-ms-wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"),
    ("video/mp4", movie(b"mp42")), ("video/mp4", movie(b"isom", b"avc1")),
    ("video/mp4", movie(b"qqqq")),
    ("video/quicktime", movie(b"qt  ")), ("video/quicktime", b"\0\0\0\x08wide\0\0\1\0mdat"),
    ("video/3gpp", movie(b"3gp4")), ("video/3gpp", movie(b"isom")), ("video/3gpp2", movie(b"3g2a")),
    ("video/webm", EBML), ("video/x-matroska", EBML), ("audio/webm", EBML),
    ("video/x-msvideo", b"RIFF\x24\0\0\0AVI LIST\0\0\0\0"), ("video/x-flv", b"FLV\1\5\0\0\0\x09"),
    ("video/mpeg", b"\0\0\1\xba\x44\0"), ("video/mpeg", b"\0\0\1\xb3\x14\0"), ("video/mpeg", MP3),
    ("video/mp2t", (b"\x47\x40\0\x10" + bytes(184)) * 3),
    ("application/pdf", PDF), ("application/pdf", b"%PDF-1.4\n1 0 obj\n"),
    ("application/pdf", b"\n\n" + PDF),
    ("application/postscript", POSTSCRIPT), ("application/postscript", PDF),
    ("application/illustrator", PDF), ("image/x-eps", b"\xc5\xd0\xd3\xc6\x20\0\0\0"),
    ("application/rtf", RTF), ("text/rtf", RTF), ("application/msword", RTF),
    ("application/msword", OLE), ("application/vnd.ms-excel", OLE),
    ("application/vnd.ms-outlook", OLE),
    ("application/vnd.ms-powerpoint", OLE), (DOCX, OLE), (XLSX, OLE), ("application/x-msi", OLE),
    ("application/vnd.ms-excel", b"\x09\x04\x06\0\0\0\x10\0\0\0"),
    ("application/msword", b'<?xml version="1.0"?>\n<?mso-application progid="Word.Document"?>'),
    ("application/zip", ZIP), ("application/x-zip-compressed", ZIP),
    ("application/zip", b"PK\5\6" + bytes(18)),
    (DOCX, zip_of("[Content_Types].xml", "word/document.xml")),
    (ODT, zip_of("mimetype", "content.xml")),
    ("application/vnd.ms-powerpoint.addin.macroEnabled.12", ZIP), ("application/epub+zip", ZIP),
    ("application/java-archive", zip_of("META-INF/MANIFEST.MF")),
    ("application/vnd.apple.pkpass", ZIP),
    ("application/vnd.android.package-archive", ZIP), ("application/vnd.google-earth.kmz", ZIP),
    ("model/3mf", ZIP), ("application/x.unheard-of+zip", ZIP),
    ("application/vnd.comicbook-rar", ZIP),
    ("application/gzip", gzip.compress(b"hello", mtime=0)),
    ("application/x-tar", gzip.compress(tar(), mtime=0)),
    ("application/x-tar", tar()), ("application/x-tar", old_tar()),
    ("application/x-tar", tar("w:bz2")),
    ("application/x-bzip2", bz2.compress(b"hello")), ("application/x-xz", lzma.compress(b"hello")),
    ("application/zstd", b"\x28\xb5\x2f\xfd\4\0"),
    ("application/x-7z-compressed", b"7z\xbc\xaf\x27\x1c\0\4"),
    ("application/vnd.rar", b"Rar!\x1a\7\1\0"),
    ("application/x-rar-compressed", b"Rar!\x1a\7\0\xcf"),
    ("application/vnd.debian.binary-package", b"!<arch>\ndebian-binary   0\n\0"),
    ("font/otf", OPEN_TYPE), ("font/ttf", TRUE_TYPE), ("font/ttf", OPEN_TYPE),
    ("font/otf", TRUE_TYPE),
    ("font/collection", b"ttcf\0\1\0\0"), ("font/woff", b"wOFFOTTO\0\0"),
    ("font/woff2", b"wOF2\0\1\0\0"),
    ("application/vnd.microsoft.portable-executable", EXE), ("application/x-msdownload", EXE),
    ("application/wasm", b"\0asm\1\0\0\0"), ("application/vnd.sqlite3", b"SQLite format 3\0\x10\0"),
    ("application/geopackage+sqlite3", b"SQLite format 3\0\x10\0"),
]  # fmt: skip

# Formats that are rare in uploads, a line each.
HONEST += [
    ("video/x-mng", b"\x8aMNG\r\n\x1a\n\0"), ("image/x-jng", b"\x8bJNG\r\n\x1a\n\0"),
    ("image/x-canon-crw", b"II\x1a\0\0\0HEAPCCDR"), ("image/x-sigma-x3f", b"FOVb\3\0"),
    ("image/x-minolta-mrw", b"\0MRM\0"), ("image/jxr", b"II\xbc\1\x08\0"),
    ("image/x-pcx", b"\x0a\5\1\x08\0"), ("image/fits", b"SIMPLE  =                    T"),
    ("application/dicom", bytes(128) + b"DICM\2\0"), ("image/x-xcf", b"gimp xcf file\0"),
    ("image/vnd.ms-dds", b"DDS \x7c\0"), ("image/x-exr", b"\x76\x2f\x31\1\2\0"),
    ("image/icns", b"icns\0\0"), ("image/vnd.djvu", b"AT&TFORM\0\0\0\1DJVU"),
    ("application/x-shockwave-flash", b"CWS\x09\0"), ("audio/ac3", b"\x0b\x77\0\0"),
    ("application/vnd.rn-realmedia", b".RMF\0"), ("audio/basic", b".snd\0\0\0\x18"),
    ("audio/x-caf", b"caff\0\1\0\0"), ("audio/x-ape", b"MAC \x96\x0f\0"),
    ("audio/x-wavpack", b"wvpk\x40\0"), ("audio/x-tta", b"TTA1\1\0"),
    ("audio/x-musepack", b"MPCKSH\x0e\x08"), ("audio/x-dsf", b"DSD \x1c\0\0\0"),
    ("audio/x-dff", b"FRM8" + bytes(8) + b"DSD "), ("application/vnd.fdf", b"%FDF-1.2\n"),
    ("application/msword", b"\xdb\xa5\x2d\0\0"),
    ("application/x-hwp", b"HWP Document File V3.00 \x1a\1"),
    ("application/vnd.ms-outlook", b"!BDN\0\0"), ("application/vnd.ms-tnef", b"\x78\x9f\x3e\x22\1"),
    ("application/msaccess", b"\0\1\0\0Standard Jet DB\0"),
    ("application/vnd.wordperfect", b"\xffWPC\x10\0"),
    ("application/x-chm", b"ITSF\3\0"), ("application/x-mobipocket-ebook", bytes(60) + b"BOOKMOBI"),
    ("application/vnd.ms-fontobject", bytes(34) + b"LP"),
    ("application/x-compress", b"\x1f\x9d\x90\0"),
    ("application/vnd.sketchup.skp", b"\xff\xfe\xff\x0eS\0k\0e\0t\0c\0h"),
    ("application/x-lzip", b"LZIP\1\x0c"), ("application/x-lz4", b"\x04\x22\x4d\x18\0"),
    ("application/vnd.ms-cab-compressed", b"MSCF\0\0"),
    ("application/x-rpm", b"\xed\xab\xee\xdb\3\0"),
    ("application/x-lha", b"\x20\1-lh5-\0"), ("application/x-ace", bytes(7) + b"**ACE**"),
    ("application/x-arj", b"\x60\xea\x2a\0"), ("application/x-chrome-extension", b"Cr24\3\0"),
    ("application/x-bittorrent", b"d8:announce4:http"), ("application/x-xar", b"xar!\0\x1c"),
    ("application/x-stuffit", b"SIT!\0\1"), ("application/x-executable", ELF),
    ("application/x-mach-binary", b"\xcf\xfa\xed\xfe\7\0\0\1"),
    ("application/java-vm", b"\xca\xfe\xba\xbe\0\0\0\x34"),
    ("application/x-hdf5", b"\x89HDF\r\n\x1a\n\0"),
    ("application/x-parquet", b"PAR1\x15\4"), ("application/vnd.apache.arrow.file", b"ARROW1\0\0"),
    ("application/vnd.tcpdump.pcap", b"\xd4\xc3\xb2\xa1\2\0"),
    ("model/gltf-binary", b"glTF\2\0\0\0"),
    ("application/x-dvi", b"\xf7\2\1\x83"), ("application/x-cpio", b"070701000002\0"),
    ("application/x-font-type1", b"\x80\1\xe0\x19\0\0%!PS-AdobeFont"),
]  # fmt: skip

HTML = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>"

TEXTS: list[tuple[str, bytes]] = [
    ("text/plain", b"hello, world\n"),
    ("text/plain", "Übergröße\n".encode("latin-1")),
    ("text/plain", "\u201cquoted\u201d \u20ac".encode("cp1252")),
    ("text/plain", "日本語のテキスト\n".encode("shift-jis")),
    ("text/plain", "中文文本\n".encode("gb18030")),
    ("text/plain", "한국어\n".encode("iso2022_kr")),
    ("text/plain", "日本語\n".encode("iso2022_jp")),
    ("text/plain", "日本語のテキスト\n".encode("utf-16")),
    ("text/plain", "\ufeff日本語のテキスト\n".encode("utf-16-be")),
    ("text/plain", "hello\n".encode("utf-16-le")),
    ("text/plain", "hello\n".encode("utf-16-be")),
    ("text/plain", "hello\n".encode("utf-32")),
    ("text/plain", "hello\n".encode("utf-32-be")),
    ("text/plain", b"\xef\xbb\xbfwith a mark\n"),
    ("text/plain", b"end of a file of DOS\r\n\x1a"),
    ("text/plain", b"\x1b[31mred\x1b[0m\n"),
    ("text/plain", ("é" * 3000).encode()[:4095]),
    ("text/plain", "x".join("é" * 3000).encode("utf-16")[:4095]),
    ("text/html", HTML),
    ("application/json", b'{"a": [1, 2, {"b": null}]}'),
    ("application/json-seq", b'\x1e{"a": 1}\n'),
    ("text/csv", b"a,b,c\n1,2,3\n"),
    ("text/csv", b"070701,1\n"),
    ("application/xml", b'<?xml version="1.0"?><a/>'),
    ("application/atom+xml", b"<feed/>"),
    ("application/gpx+xml", b"<gpx/>"),
    ("application/vnd.google-earth.kml+xml", b"<kml/>"),
    ("application/xhtml+xml", b"<html/>"),
    ("image/svg+xml", b"<svg/>"),
    ("text/x-python", b"#!/usr/bin/env python\nprint(1)\n"),
    ("text/x-python", b"HEADER = b'%PDF-1.7'\n"),
    ("text/x-tex", b"%!TEX program = xelatex\n"),
    ("application/javascript", b"let a = 1;"),
    ("message/rfc822", b"From: a@b.example\nTo: c@d.example\n\nHello"),
    ("text/markdown", b"# Title\n\nText\n"),
    ("text/calendar", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
    ("application/edi-x12", b"ISA*00*\x1d\x1e\x1f"),
]

# Texts that begin with the letters of a signature.
TREACHEROUS = [b"BM is short for bitmap\n", b"ID3 tags are old\n", b"MZ was an initial\n",
               b"GIF89a is a format\n", b"OggS, RIFF, fLaC: magic numbers\n", b"Rar!\n",
               b"8BPS\n", b"PK was here\n", b"wOFF wOF2 OTTO\n", b"\xef\xbb\xbfwith a mark\n",
               b"MThd, said the file\n", b"glTF, icns, caff\n", b"BZh91 is a road\n"]  # fmt: skip

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
HOSTILE = {
    "html": HTML,
    "html after a mark": b"\xef\xbb\xbf" + HTML,
    "html in utf-16": HTML.decode().encode("utf-16"),
    "svg": SVG,
    "svgz": gzip.compress(SVG, mtime=0),
    "javascript": b"fetch('//evil.example')",
    "javascript that begins like a gif": b"GIF89a/*<svg/onload=alert(1)>*/=alert(1)//;",
    "php": b"<?php system($_GET['c']); ?>",
    "shell script": b"#!/bin/sh\nrm -rf /\n",
    "elf": ELF,
    "windows program": EXE,
    "zeros": bytes(4096),
    "one zero": b"\0",
    "ones": b"\xff" * 100,
    "text": b"just text\n",
    "pdf": PDF,
    "zip": ZIP,
    "another image": PNG,
}
