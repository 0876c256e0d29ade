"""`attachery serve`, which counts the Python frames of its event loop's thread on demand.

Run as `python -m bench.traced_server OUTPUT serve`. SIGUSR1 starts counting; SIGUSR2 ends it and
writes the counts to the file OUTPUT, as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final

_OWN: Final = "/attachery_service/"
# Packages from the bottom to the top, as the layers contract has them; equal numbers are peers.
_LAYERS: Final = {
    "common": 0,
    "domain": 1,
    "aio": 1,
    "observability": 2,
    "ports": 3,
    "usecases": 4,
    **dict.fromkeys(("rpc", "worker", "postgres", "s3", "media", "ratelimit", "jwt"), 5),
    # Names of packages in earlier releases, so that both can be compared.
    **dict.fromkeys(("wire", "workers", "store", "storage", "limiting", "issuer"), 5),
}


class FrameCount:
    """Counts frames that begin while it is installed as the profile function.

    Resumptions of a coroutine are no new frames.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._frames: list[FrameType] = []  # kept, so that no other frame gets the id of one
        self._upward = 0

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and id(frame) not in self._known:
            self._known.add(id(frame))
            self._frames.append(frame)
            self._upward += _is_upward(frame)

    def as_json(self) -> dict[str, Any]:
        own = [_path_of(frame) for frame in self._frames if _is_own(frame)]
        return {
            "own": len(own),
            "library": len(self._frames) - len(own),
            "files": len(set(own)),
            "moves": sum(one != other for one, other in pairwise(own)),
            "upward": self._upward,
            "by_file": Counter(own).most_common(),
        }


def _is_own(frame: FrameType) -> bool:
    return _OWN in frame.f_code.co_filename


def _path_of(frame: FrameType) -> str:
    """Path of the frame's file below the service's package."""
    return frame.f_code.co_filename.partition(_OWN)[2]


def _is_upward(frame: FrameType) -> bool:
    """Whether a frame of the service that begins now is called from a lower layer."""
    caller = frame.f_back if _is_own(frame) else None
    while caller is not None and not _is_own(caller):
        caller = caller.f_back
    return caller is not None and _layer(caller) < _layer(frame)


def _layer(frame: FrameType) -> int:
    package = _path_of(frame).partition("/")[0]
    return _LAYERS.get(package.removesuffix(".py"), max(_LAYERS.values()) + 1)


def _install(path: Path) -> None:
    count = FrameCount()

    def begin(*_: object) -> None:
        nonlocal count
        count = FrameCount()
        sys.setprofile(count)

    def end(*_: object) -> None:
        sys.setprofile(None)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(count.as_json()))
        partial.rename(path)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)


def main() -> int:
    output = Path(sys.argv.pop(1))
    from attachery_service.__main__ import main as attachery  # noqa: PLC0415

    _install(output)
    return attachery()


if __name__ == "__main__":
    sys.exit(main())
