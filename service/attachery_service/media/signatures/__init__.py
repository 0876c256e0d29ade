"""The formats that have a signature, and all types that a correct client may declare for them.

A type that is listed must show the signature of one of its formats. A type that is not listed never
fails, so a format is listed only if its signatures cover all files that software takes for it.

Sources: the specifications of the formats, and the names in IANA's registry and in Debian's and
CPython's tables. The signatures were compared with those of puremagic 1.30 and libmagic 5.41 on the
corpus of docs/sniffing.md.
"""

from __future__ import annotations

from typing import Final

from attachery_service.media.signatures.archives import ARCHIVES
from attachery_service.media.signatures.documents import DOCUMENTS
from attachery_service.media.signatures.formats import Format, names
from attachery_service.media.signatures.images import IMAGES
from attachery_service.media.signatures.programs import PROGRAMS
from attachery_service.media.signatures.sound import SOUND

FORMATS: Final[tuple[Format, ...]] = (*IMAGES, *SOUND, *DOCUMENTS, *ARCHIVES, *PROGRAMS)

# Listed types whose valid files may lack a signature: batch files and DOS programs share types with
# Windows programs, browsers declare TypeScript as MPEG streams, and playlists, raw samples, XML and
# records share their type with files that have a signature.
LENIENT: Final = names("""
    application/x-msdownload application/x-msdos-program application/x-dosexec video/mp2t
    audio/x-pn-realaudio audio/basic image/fits application/dicom application/x-abiword
    application/x-gnumeric application/vnd.ms-works application/vnd.tcpdump.pcap
    application/x-object application/x-netcdf
""")

# Listed types that valid texts are declared as: Windows declares CSV files as Excel's, and programs
# export HTML tables under this type.
TEXT_TOO: Final = names("application/vnd.ms-excel application/msexcel application/excel")

# Types of text outside `text/*` and the structured suffixes.
TEXT_TYPES: Final = names("""
    application/json application/x-ndjson application/jsonl application/json-seq application/xml
    application/javascript application/ecmascript application/x-javascript application/typescript
    application/sql application/x-sql application/yaml application/x-yaml application/toml
    application/csv application/ics application/x-sh application/x-shellscript application/x-csh
    application/x-perl application/x-python application/x-ruby application/x-php
    application/x-httpd-php application/x-tcl application/x-tex application/x-latex
    application/x-texinfo application/x-troff application/x-troff-man application/x-troff-me
    application/x-troff-ms application/x-shar application/x-subrip application/n-triples
    application/n-quads application/trig application/sparql-query application/graphql
    application/vnd.apple.mpegurl application/x-mpegurl audio/mpegurl audio/x-mpegurl
    audio/x-scpls application/mbox message/rfc822 image/svg+xml image/x-xpixmap image/x-xbitmap
    model/obj model/mtl application/x-java-jnlp-file application/x-ns-proxy-autoconfig
""")
TEXT_SUFFIXES: Final = ("+xml", "+json", "+yaml", "+json-seq")
