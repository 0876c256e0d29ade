"""Audio and video."""

from __future__ import annotations

from typing import Final

from attachery_service.media import brands
from attachery_service.media.signatures.formats import one_format

_MPEG_4: Final = """
    video/mp4 audio/mp4 application/mp4 video/x-m4v audio/x-m4a audio/x-m4b audio/aac audio/aacp
    video/quicktime video/3gpp audio/3gpp video/3gpp2 audio/3gpp2 video/mp4v-es video/iso.segment
    audio/mp4a-latm audio/usac
"""
# A frame (ISO/IEC 11172-3, section 2.4.2.3), perhaps after zeros: the sync word, any version but
# the reserved one, a layer, then valid rates. Not FF FE, which also marks UTF-16.
_VALID_RATES: Final = "".join(f"\\x{high:x}0-\\x{high:x}b" for high in range(0xF))
_MPEG_AUDIO: Final = (
    rf"\0*\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd\xe6\xe7\xf6\xf7\xff][{_VALID_RATES}]".encode()
)

# An ID3 tag may precede audio of these types.
_ID3_BEFORE: Final = """
    audio/mpeg audio/mp3 audio/aac audio/aacp audio/flac audio/x-ape audio/x-musepack audio/x-tta
    audio/x-wavpack audio/x-tak audio/x-ofr audio/ac3 video/mpeg
"""

SOUND: Final = (
    one_format("audio/wav audio/wave audio/x-wav audio/vnd.wave",
               rb"RIFF....WAVE|RIFX....WAVE|(?:RF64|BW64)....WAVE|riff\x2e\x91\xcf\x11"),
    one_format("video/x-msvideo video/avi video/msvideo video/vnd.avi video/divx",
               rb"RIFF....AVI "),
    one_format("audio/flac audio/x-flac", rb"fLaC"),
    one_format("audio/ogg video/ogg application/ogg audio/opus audio/vorbis audio/speex audio/flac "
               "audio/x-vorbis+ogg audio/x-speex+ogg audio/x-flac+ogg video/x-theora+ogg "
               "video/x-ogm+ogg video/annodex audio/annodex application/annodex video/theora",
               rb"OggS\0"),
    one_format("video/webm audio/webm video/x-matroska audio/x-matroska video/x-matroska-3d "
               "application/x-matroska image/webm", rb"\x1a\x45\xdf\xa3"),
    one_format(_MPEG_4, brands.is_movie),
    one_format("audio/aiff audio/x-aiff", rb"FORM....AIF[FC]"),
    one_format("audio/midi audio/mid audio/x-midi audio/sp-midi application/x-midi",
               rb"MThd\0\0\0|RIFF....RMID"),
    one_format("audio/amr audio/amr-wb audio/amr-nb audio/3gpp audio/3gpp2", rb"#!AMR", text=True),
    one_format("video/x-ms-asf video/x-ms-wmv audio/x-ms-wma video/x-ms-wm application/vnd.ms-asf",
               rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    one_format("video/x-flv video/flv", rb"FLV\x01"),
    one_format("application/vnd.adobe.flash.movie application/x-shockwave-flash",
               rb"[FCZ]WS[\x01-\x40]"),
    one_format("video/mpeg video/mpg video/x-mpeg video/mp1s video/mp2p",
               rb"\0\0\x01[\0\xb0-\xbf\xe0-\xef]", weak=True),
    one_format("audio/ac3 audio/eac3 audio/vnd.dolby.dd-raw", rb"\x0b\x77|\x77\x0b", weak=True),
    one_format("video/mp2t video/mpeg video/vnd.dlna.mpeg-tts",
               rb"(?:.{4})?\x47.{187}(?:.{4})?\x47", weak=True),
    one_format("application/vnd.rn-realmedia audio/x-pn-realaudio audio/x-realaudio",
               rb"\.RMF|\.ra\xfd"),
    one_format("audio/basic audio/x-au", rb"\.snd\0|dns\."),
    one_format("audio/x-caf", rb"caff\0\x01"),
    one_format("audio/x-ape audio/ape", rb"MAC "),
    one_format("audio/x-wavpack", rb"wvpk"),
    one_format("audio/x-tta audio/tta", rb"TTA[12]"),
    one_format("audio/x-musepack audio/musepack", rb"MP\+|MPCK"),
    one_format("audio/x-dsf audio/dsf", rb"DSD \x1c\0\0\0"),
    one_format("audio/x-dff audio/dff", rb"FRM8........DSD "),
    one_format(_ID3_BEFORE, rb"ID3[\x01-\x05]"),
    one_format("audio/mpeg audio/mp3 audio/mpeg3 audio/mpa video/mpeg", _MPEG_AUDIO, weak=True),
    one_format("audio/aac audio/aacp audio/vnd.dlna.adts audio/usac",
               rb"\xff[\xf0\xf1\xf8\xf9]|ADIF|\x56[\xe0-\xff]", weak=True),
)  # fmt: skip
