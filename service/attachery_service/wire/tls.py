"""TLS from files, picked up again when they are replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import structlog

_log = structlog.get_logger("attachery.tls")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca`, callers must show a certificate of it (mTLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def paths(self) -> list[Path]:
        return [p for p in (self.certificate, self.key, self.client_ca) if p is not None]


class _Fetcher:
    """Called by the library on every handshake, from a thread of its own: must be cheap and must
    not raise, or the handshake fails."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._loaded = self._stamp()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamp = self._stamp()
            if stamp == self._loaded:
                return None
            configuration = _load(self._files)
        except OSError as error:
            _log.warning("certificate not reloaded", error=type(error).__name__)
            return None
        self._loaded = stamp
        return configuration

    def _stamp(self) -> list[int]:
        return [path.stat().st_mtime_ns for path in self._files.paths()]


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Raises OSError if a file cannot be read."""
    return grpc.dynamic_ssl_server_credentials(
        _load(files),
        # None for "as before" is documented, but not in the typings.
        cast("Callable[[], grpc.ServerCertificateConfiguration]", _Fetcher(files)),
        require_client_authentication=files.client_ca is not None,
    )


def _load(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    client_ca = files.client_ca.read_bytes() if files.client_ca else None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)
