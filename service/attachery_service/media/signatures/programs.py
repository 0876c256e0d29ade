"""Programs and data files."""

from __future__ import annotations

from typing import Final

from attachery_service.media.signatures.formats import one_format

PROGRAMS: Final = (
    one_format("""
        application/vnd.microsoft.portable-executable application/x-msdownload
        application/x-msdos-program application/x-dosexec application/x-exe application/x-winexe
        application/exe
        """, rb"MZ|ZM"),
    one_format("application/x-executable application/x-elf application/x-sharedlib "
               "application/x-object application/x-pie-executable", rb"\x7fELF"),
    one_format("application/x-mach-binary", rb"\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe"),
    one_format("application/java-vm application/x-java-class application/x-java-applet",
               rb"\xca\xfe\xba\xbe"),
    one_format("application/wasm", rb"\0asm"),
    one_format("application/x-hdf5 application/x-hdf application/x-netcdf",
               rb"\x89HDF\r\n\x1a\n|\x0e\x03\x13\x01|CDF[\x01\x02\x05]"),
    one_format("application/vnd.apache.parquet application/x-parquet", rb"PAR1|PARE"),
    one_format("application/vnd.apache.arrow.file", rb"ARROW1\0\0"),
    one_format("application/vnd.tcpdump.pcap application/x-pcap application/x-pcapng",
               rb"\xd4\xc3\xb2\xa1|\xa1\xb2[\xc3\x3c][\xd4\x4d]|\x4d\x3c\xb2\xa1|\x0a\x0d\x0d\x0a"),
    one_format("model/gltf-binary", rb"glTF[\x01\x02]\0\0\0"),
    one_format("application/x-dvi", rb"\xf7[\x02\x03]"),
)  # fmt: skip
