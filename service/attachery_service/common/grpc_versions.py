"""The version of the installed gRPC, without importing it, and comparison with tested versions.

`settings/process.py` lists the versions on which its setting of gRPC was tested, states the gain
and has the switch.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import metadata


def installed_grpc() -> str:
    """The version of grpcio, such as `1.85.1`."""
    return metadata.version("grpcio")


def is_grpc_among(minor_versions: Collection[str]) -> bool:
    """Whether the installed gRPC is one of these minor versions, such as `1.85`."""
    return ".".join(installed_grpc().split(".")[:2]) in minor_versions
