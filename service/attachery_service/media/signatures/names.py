"""Types that more than one table lists."""

from __future__ import annotations

from typing import Final

_OOXML: Final = "application/vnd.openxmlformats-officedocument"
OFFICE_OPEN_XML: Final = f"""
    {_OOXML}.wordprocessingml.document {_OOXML}.wordprocessingml.template
    {_OOXML}.spreadsheetml.sheet {_OOXML}.spreadsheetml.template
    {_OOXML}.presentationml.presentation {_OOXML}.presentationml.template
    {_OOXML}.presentationml.slideshow {_OOXML}.presentationml.slide
    application/vnd.ms-word.document.macroenabled.12
    application/vnd.ms-word.template.macroenabled.12
    application/vnd.ms-excel.sheet.macroenabled.12
    application/vnd.ms-excel.template.macroenabled.12
    application/vnd.ms-excel.addin.macroenabled.12
    application/vnd.ms-excel.sheet.binary.macroenabled.12
    application/vnd.ms-powerpoint.presentation.macroenabled.12
    application/vnd.ms-powerpoint.template.macroenabled.12
    application/vnd.ms-powerpoint.slideshow.macroenabled.12
    application/vnd.ms-powerpoint.addin.macroenabled.12
    application/vnd.ms-powerpoint.slide.macroenabled.12
    application/vnd.ms-visio.drawing application/vnd.ms-visio.drawing.main+xml
    application/vnd.ms-visio.drawing.macroenabled.12 application/vnd.ms-visio.stencil
    application/vnd.ms-visio.template
"""
METAFILES: Final = """
    image/wmf image/x-wmf application/wmf application/x-wmf application/x-msmetafile image/emf
    image/x-emf application/emf application/x-emf
"""
