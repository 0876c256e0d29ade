"""Compares type detectors on a folder of honest files, declared with the type of their name.

    .venv/bin/python scripts/compare-sniffers.py FOLDER [--list]

Prints one row for each detector that is installed: ours, puremagic, libmagic (python-magic with
pylibmagic or the system's library), filetype and magika. Each is given the first 4 KiB of a file. A
file counts as recognised if the detector returns the declared type, or a type of the same
format. Only files of types with a signature in our table are counted. `--list` prints the files
that `enforce` would refuse, and those that are not recognised.

The corpus of docs/sniffing.md: `pip download --no-binary :all: --no-deps` of the named packages,
unpacked.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "service"), str(ROOT / "generated")]

from attachery_client.transfer import guess_content_type  # noqa: E402
from attachery_service.domain.content_types import canonical  # noqa: E402
from attachery_service.media.signatures import FORMATS  # noqa: E402
from attachery_service.media.sniffing import compare_type, has_signature  # noqa: E402

FIRST_BYTES = 4096
Detector = Callable[[bytes], str]


def puremagic() -> Detector:
    import puremagic as library  # noqa: PLC0415

    return lambda first: str(library.from_string(first, mime=True))


def libmagic() -> Detector:
    with suppress(ImportError):
        import pylibmagic  # noqa: F401, PLC0415
    import magic  # noqa: PLC0415

    reader = magic.Magic(mime=True)
    return lambda first: str(reader.from_buffer(first))


def filetype() -> Detector:
    import filetype as library  # noqa: PLC0415

    return lambda first: str(library.guess_mime(first) or "")


def magika() -> Detector:
    from magika import Magika  # noqa: PLC0415

    model = Magika()
    return lambda first: str(model.identify_bytes(first).output.mime_type)


def same_format(declared: str, found: str) -> bool:
    declared, found = canonical(declared), canonical(found)
    kinds = ({canonical(name) for name in each.types} for each in FORMATS)
    return declared == found or any({declared, found} <= kind for kind in kinds)


def files(folder: Path) -> Iterator[tuple[Path, str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix:
            declared = guess_content_type(path.name)
            with path.open("rb") as file:
                first = file.read(FIRST_BYTES)
            if first and declared != "application/octet-stream":
                yield path, declared, first


def judge_ours(corpus: list[tuple[Path, str, bytes]], listing: bool) -> None:
    outcomes: Counter[bool | None] = Counter()
    signed = recognised = 0
    for path, declared, first in corpus:
        agrees = compare_type(declared, first).agrees
        outcomes[agrees] += 1
        if has_signature(declared):
            signed += 1
            recognised += agrees is True
        if listing and agrees is False:
            print("refused", declared, path, first[:24])
    print(
        f"{len(corpus)} files: {outcomes[True]} passed, {outcomes[None]} inconclusive,"
        f" {outcomes[False]} refused under enforce; {signed} have a signature"
    )
    print(f"ours: {recognised / max(signed, 1):.3f} recognised")


def judge(name: str, make: Callable[[], Detector], corpus: list[tuple[Path, str, bytes]]) -> None:
    try:
        detect = make()
    except ImportError:
        return print(f"{name}: not installed")
    signed = [each for each in corpus if has_signature(each[1])]
    recognised = 0
    begun = time.perf_counter()
    found = [quietly(detect, first) for _, _, first in signed]
    took = (time.perf_counter() - begun) / max(len(signed), 1)
    recognised = sum(same_format(kind[1], seen) for kind, seen in zip(signed, found, strict=True))
    return print(f"{name}: {recognised / max(len(signed), 1):.3f} recognised, {took * 1e6:.0f} us")


def quietly(detect: Detector, first: bytes) -> str:
    """Detectors report an unknown type as an error, and some fail on odd files."""
    try:
        return detect(first)
    except Exception:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", action="store_true")
    wanted: Any = parser.parse_args()
    corpus = list(files(wanted.folder))
    judge_ours(corpus, wanted.list)
    for make in (puremagic, libmagic, filetype, magika):
        judge(make.__name__, make, corpus)


if __name__ == "__main__":
    main()
