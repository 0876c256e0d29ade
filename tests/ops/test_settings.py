"""Settings: what cannot be meant is refused at start, by name and without its value."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from attachery_service.cli.main import run
from attachery_service.config import Settings

SECRET = "words-nobody-may-read"
USABLE = {"database_url": "postgresql://u:p@h/n", "s3_bucket": "b"}

CONTRADICTIONS = [
    ({"tls_key": "/k"}, "ATTACHERY_TLS_CERTIFICATE and ATTACHERY_TLS_KEY go together"),
    ({"tls_certificate": "/c"}, "ATTACHERY_TLS_CERTIFICATE and ATTACHERY_TLS_KEY go together"),
    ({"tls_client_ca": "/c"}, "ATTACHERY_TLS_CLIENT_CA needs ATTACHERY_TLS_CERTIFICATE"),
    ({"s3_secret_key": SECRET}, "ATTACHERY_S3_ACCESS_KEY and ATTACHERY_S3_SECRET_KEY go together"),
    ({"s3_access_key": "AK", "s3_secret_key": ""}, "ATTACHERY_S3_ACCESS_KEY and"),
    ({"listen": "50051"}, "ATTACHERY_LISTEN: must be HOST:PORT"),
    ({"listen": "::1:50051"}, "ATTACHERY_LISTEN: must be HOST:PORT"),
    ({"listen": "localhost:65536"}, "ATTACHERY_LISTEN: must be HOST:PORT"),
    ({"metrics_listen": "9090"}, "ATTACHERY_METRICS_LISTEN: must be HOST:PORT"),
    ({"database_url": f"mysql://u:{SECRET}@h/n"}, "ATTACHERY_DATABASE_URL: must be postgresql://"),
    ({"database_url": f"postgresql://u:{SECRET}#1@h/n"}, "ATTACHERY_DATABASE_URL: must be"),
    ({"database_url": f"postgresql://u:#{SECRET}@h/n"}, "ATTACHERY_DATABASE_URL: must be"),
    ({"database_url": f"postgresql://u:/{SECRET}@h/n"}, "ATTACHERY_DATABASE_URL: must be"),
    ({"database_url": f"postgresql://u:[{SECRET}@h/n"}, "ATTACHERY_DATABASE_URL: must be"),
    ({"database_url": SECRET}, "ATTACHERY_DATABASE_URL: must be postgresql://"),
    ({"s3_endpoint": "store:9000"}, "ATTACHERY_S3_ENDPOINT: "),
    ({"s3_endpoint": f"https://ak:{SECRET}@store"}, "ATTACHERY_S3_ENDPOINT: "),
    ({"s3_public_endpoint": "https://store/path"}, "ATTACHERY_S3_PUBLIC_ENDPOINT: "),
    ({"seal": SECRET}, "ATTACHERY_SEAL: "),
    ({"max_size": "0"}, "ATTACHERY_MAX_SIZE: "),
    ({"max_pending_sessions": "-1"}, "ATTACHERY_MAX_PENDING_SESSIONS: "),
    ({"max_stored_bytes": "1e99"}, "ATTACHERY_MAX_STORED_BYTES: "),
    ({"drain_time": "-1"}, "ATTACHERY_DRAIN_TIME: "),
    ({"rate_limit_read": "fast"}, "ATTACHERY_RATE_LIMIT_READ: must be CALLS/UNIT"),
    ({"rate_limit_write": "0/second"}, "ATTACHERY_RATE_LIMIT_WRITE: must be CALLS/UNIT"),
    ({"rate_limit_resolve": "9/fortnight"}, "ATTACHERY_RATE_LIMIT_RESOLVE: must be CALLS/UNIT"),
    ({"rate_limit_store": f"http://:{SECRET}@h"}, "ATTACHERY_RATE_LIMIT_STORE: must be redis://"),
    ({"rate_limit_store": f"redis://:{SECRET}#@h"}, "ATTACHERY_RATE_LIMIT_STORE: must be redis"),
    ({"database_pool_size": "many"}, "ATTACHERY_DATABASE_POOL_SIZE: "),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Settings that can be read."""
    for name, value in USABLE.items():
        monkeypatch.setenv(f"ATTACHERY_{name.upper()}", value)
    return monkeypatch


@pytest.mark.parametrize(("settings", "said"), CONTRADICTIONS)
def test_what_cannot_be_meant_is_refused_by_its_name(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    said: str,
) -> None:
    for name, value in settings.items():
        environment.setenv(f"ATTACHERY_{name.upper()}", value)
    assert run(["serve"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("attachery: the settings are not usable: ")
    assert said in line
    assert SECRET not in line


def test_every_missing_setting_is_named_at_once(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in USABLE:
        environment.delenv(f"ATTACHERY_{name.upper()}")
    assert run(["serve"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ATTACHERY_DATABASE_URL: " in line
    assert "ATTACHERY_S3_BUCKET: " in line


def test_an_empty_variable_is_an_unset_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ATTACHERY_TLS_CERTIFICATE", "")
    environment.setenv("ATTACHERY_MAX_SIZE", "")
    settings = Settings()
    assert settings.tls_certificate is None
    assert settings.max_size == 157_286_400


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%23%2F@h:5432/n",
        "postgres://h/n?sslmode=require",
        "postgresql://u:p@a:1,b:2/n",
        "postgresql://u@[::1]:5432/n",
        "postgresql:///n?host=/run/postgresql",
    ],
)
def test_every_form_of_a_database_url_is_taken(url: str) -> None:
    assert Settings(database_url=SecretStr(url), s3_bucket="b").database_url.get_secret_value()


def test_settings_hide_what_is_secret_when_they_are_shown() -> None:
    settings = Settings(
        database_url=SecretStr(f"postgresql://u:{SECRET}@h/n"),
        s3_bucket="b",
        s3_access_key="AK",
        s3_secret_key=SecretStr(SECRET),
    )
    assert SECRET not in f"{settings} {settings!r}"
    with pytest.raises(ValidationError):
        settings.seal = "copy"  # type: ignore[misc]
