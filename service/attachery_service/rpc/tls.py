"""TLS certificates from files, reloaded when the files are replaced."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import structlog

_log = structlog.get_logger("attachery.tls")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca`, callers must present a certificate signed by it (mTLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def paths(self) -> list[Path]:
        return [p for p in (self.certificate, self.key, self.client_ca) if p is not None]


class _Fetcher:
    """Reloads the files if they have changed.

    gRPC calls it on every handshake, from a thread of its own, and fails the handshake if it
    raises.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = self._stamps()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        self._seen = stamps
        try:
            return _load(self._files)
        except OSError as error:
            # Only one of the files may have been replaced yet; the other changes the stamps again.
            _log.warning("certificate not reloaded", error=str(error))
            return None

    def _stamps(self) -> list[tuple[int, ...]]:
        return [_stamp(path) for path in self._files.paths()]


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files. Raises OSError if a file is unreadable or invalid."""
    fetcher = _Fetcher(files)  # before loading, so that no change is missed
    return grpc.dynamic_ssl_server_credentials(
        _load(files),
        # None for "as before" is documented, but not in the typings.
        cast("Callable[[], grpc.ServerCertificateConfiguration]", fetcher),
        require_client_authentication=files.client_ca is not None,
    )


def _load(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    client_ca = files.client_ca.read_bytes() if files.client_ca else None
    _require_usable(files)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)


def _require_usable(files: TlsFiles) -> None:
    """Raises OSError with a reason; gRPC rejects an unusable file without one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without it, OpenSSL prompts at the terminal for the password of an encrypted key.
        context.load_cert_chain(files.certificate, files.key, password="")
    except ssl.SSLError as error:
        pair = f"{files.certificate} and {files.key}"
        raise OSError(f"{pair} are not a certificate and its unencrypted key: {error}") from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise OSError(f"{files.client_ca} holds no certificate: {error}") from error


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever the file may have changed; empty if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
