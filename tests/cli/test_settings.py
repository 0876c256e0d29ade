"""Settings: invalid ones are refused at start-up, by name and without their value."""

from __future__ import annotations

import re

import pytest
from pydantic import SecretStr, ValidationError

from attachery_service.observability.logs import configure_logs
from attachery_service.settings.environment import (
    FORMER_NAMES,
    UnknownSettingsError,
    rename_former_variables,
    require_known_variables,
)
from attachery_service.settings.service import Settings
from support.commands import run

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
    ({"s3_endpoint": "store:9000"}, "ATTACHERY_S3_ENDPOINT: must begin with http:// or https://"),
    ({"s3_endpoint": f"https://ak:{SECRET}@store"}, "ATTACHERY_S3_ENDPOINT: must not contain a"),
    ({"s3_public_endpoint": "https://store?x=1"}, "ATTACHERY_S3_PUBLIC_ENDPOINT: must not contain"),
    ({"seal": SECRET}, "ATTACHERY_SEAL: "),
    ({"max_size": "0"}, "ATTACHERY_MAX_SIZE: "),
    ({"max_pending_sessions": "-1"}, "ATTACHERY_MAX_PENDING_SESSIONS: "),
    ({"max_attachments": "-1"}, "ATTACHERY_MAX_ATTACHMENTS: "),
    ({"max_attachments": "1k"}, "ATTACHERY_MAX_ATTACHMENTS: "),
    ({"max_stored_bytes": "1e99"}, "ATTACHERY_MAX_STORED_BYTES: "),
    ({"drain_time": "-1"}, "ATTACHERY_DRAIN_TIME: "),
    ({"rate_limit_read": "fast"}, "ATTACHERY_RATE_LIMIT_READ: must be CALLS/UNIT"),
    ({"rate_limit_write": "0/second"}, "ATTACHERY_RATE_LIMIT_WRITE: must be CALLS/UNIT"),
    ({"rate_limit_resolve": "9/fortnight"}, "ATTACHERY_RATE_LIMIT_RESOLVE: must be CALLS/UNIT"),
    ({"rate_limit_store": f"http://:{SECRET}@h"}, "ATTACHERY_RATE_LIMIT_STORE: must be redis://"),
    ({"rate_limit_store": f"redis://:{SECRET}#@h"}, "ATTACHERY_RATE_LIMIT_STORE: must be redis"),
    ({"database_pool_size": "many"}, "ATTACHERY_DATABASE_POOL_SIZE: "),
    ({"max_size": "150 Gbit"}, "ATTACHERY_MAX_SIZE: must be bytes, or a size such as 150MiB"),
    ({"max_size": "1.0001kB"}, "ATTACHERY_MAX_SIZE: must be a whole number of bytes"),
    ({"max_size": "6GiB"}, "ATTACHERY_MAX_SIZE: "),
    ({"database_timeout": "0s"}, "ATTACHERY_DATABASE_TIMEOUT: "),
    (
        {"database_timeout": "5 parsecs"},
        "ATTACHERY_DATABASE_TIMEOUT: must be seconds, or a time such",
    ),
    ({"drain_time": "inf"}, "ATTACHERY_DRAIN_TIME: "),
    ({"drain_time": "4000d"}, "ATTACHERY_DRAIN_TIME: must be at most 3650 days"),
    ({"drain_time": "9" * 30}, "ATTACHERY_DRAIN_TIME: must be at most 3650 days"),
    ({"max_size": "9" * 5000}, "ATTACHERY_MAX_SIZE: "),
    ({"log_level": "loud"}, "ATTACHERY_LOG_LEVEL: "),
]

COMMANDS = [
    ("serve",),
    ("worker",),
    ("migrate",),
    ("check",),
    ("keys", "list"),
    ("audit",),
    ("bucket", "setup"),
    ("dev",),
    ("demo", __file__),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Valid settings."""
    for name, value in USABLE.items():
        monkeypatch.setenv(f"ATTACHERY_{name.upper()}", value)
    return monkeypatch


@pytest.mark.parametrize(("settings", "said"), CONTRADICTIONS)
def test_invalid_settings_are_refused_by_name(
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


@pytest.mark.sample(2)
@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_misspelt_variable_is_refused_by_every_command_with_the_setting_that_was_meant(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    environment.setenv("ATTACHERY_TLS_CERT", SECRET)
    environment.setenv("ATTACHERY_FLUX", SECRET)
    environment.setenv("ATACHERY_LISTEN", SECRET)
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "attachery: unknown settings: ATTACHERY_FLUX, "
        "ATTACHERY_TLS_CERT (did you mean ATTACHERY_TLS_CERTIFICATE?), "
        "ATACHERY_LISTEN (did you mean ATTACHERY_LISTEN?)"
    )


@pytest.mark.parametrize("name", ["attachery_tls_cert", "Attachery_Tls_Cert"])
def test_a_misspelt_variable_is_refused_in_any_case(name: str) -> None:
    with pytest.raises(UnknownSettingsError, match="ATTACHERY_TLS_CERTIFICATE"):
        require_known_variables({name: "x"}, Settings.model_fields)


@pytest.mark.parametrize("name", ["ATTACHERY_OLD_LIMIT", "attachery_old_limit"])
def test_a_former_variable_stays_valid_with_a_warning_that_names_the_current_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs()
    environ = {name: SECRET}
    rename_former_variables(environ, {"OLD_LIMIT": "LIMIT"})
    assert environ == {"ATTACHERY_LIMIT": SECRET}
    said = capsys.readouterr().err
    assert "ATTACHERY_OLD_LIMIT" in said
    assert "ATTACHERY_LIMIT" in said
    assert SECRET not in said


def test_the_current_variable_wins_over_the_former_one() -> None:
    environ = {"ATTACHERY_OLD_LIMIT": "1", "attachery_limit": "2"}
    rename_former_variables(environ, {"OLD_LIMIT": "LIMIT"})
    assert environ == {"attachery_limit": "2"}


def test_an_empty_former_variable_counts_as_unset(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"ATTACHERY_OLD_LIMIT": ""}
    rename_former_variables(environ, {"OLD_LIMIT": "LIMIT"})
    assert environ == {}
    assert capsys.readouterr().err == ""


def test_every_former_name_leads_to_a_setting() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    assert set(FORMER_NAMES.values()) <= settings
    assert not settings & set(FORMER_NAMES)


@pytest.mark.parametrize("service", ["ATTACHERY", "ATTACHERY_WORKER", "ATTACHERY_S3_PROXY"])
def test_variables_of_kubernetes_are_no_misspelt_settings(service: str) -> None:
    injected = {
        f"{service}_SERVICE_HOST": "10.0.0.11",
        f"{service}_SERVICE_PORT": "50051",
        f"{service}_SERVICE_PORT_GRPC_WEB": "50051",
        f"{service}_PORT": "tcp://10.0.0.11:50051",
        f"{service}_PORT_50051_TCP": "tcp://10.0.0.11:50051",
        f"{service}_PORT_50051_TCP_PROTO": "tcp",
        f"{service}_PORT_50051_TCP_PORT": "50051",
        f"{service}_PORT_50051_TCP_ADDR": "10.0.0.11",
    }
    require_known_variables(injected, Settings.model_fields)
    with pytest.raises(UnknownSettingsError, match="LISTENER"):
        require_known_variables({**injected, f"{service}_LISTENER": "x"}, Settings.model_fields)


def test_no_setting_has_a_name_that_kubernetes_injects() -> None:
    pattern = re.compile(r".*SERVICE_(HOST|PORT.*)|(.*_)?PORT(_\d.*)?")
    assert not [name for name in Settings.model_fields if pattern.fullmatch(name.upper())]


@pytest.mark.parametrize("name", ["ATTACHERY_TLS_CERT", "ATTACHERY_FLUX"])
def test_a_misspelt_variable_that_is_empty_is_an_unset_one(name: str) -> None:
    require_known_variables({name: ""}, Settings.model_fields)


@pytest.mark.parametrize("name", ["ATTACHERY", "ATTACHERY_TARGET", "ATTACHERY_API_KEY", "KEY"])
def test_variables_of_clients_are_no_misspelt_settings(name: str) -> None:
    require_known_variables({name: "x"}, Settings.model_fields)


def test_a_port_variable_meant_as_an_address_is_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs()
    require_known_variables({"ATTACHERY_PORT": "tcp://10.0.0.1:80"}, Settings.model_fields)
    assert capsys.readouterr().err == ""
    require_known_variables({"ATTACHERY_PORT": "8080"}, Settings.model_fields)
    assert "ATTACHERY_LISTEN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_size", "150MiB", 157_286_400),
        ("max_size", "150 mib", 157_286_400),
        ("max_size", "1.5 GB", 1_500_000_000),
        ("max_size", "10k", 10_000),
        ("max_size", "12B", 12),
        ("max_stored_bytes", "10GB", 10_000_000_000),
        ("max_pending_bytes", "10GiB", 10 * 2**30),
        ("log_level", "INFO", "info"),
        ("log_level", "Warning", "warning"),
        ("seal", "AUTO", "auto"),
        ("sniffing", "Enforce", "enforce"),
        ("drain_time", "1m30s", 90.0),
        ("drain_time", "90", 90.0),
        ("drain_delay", "0", 0.0),
        ("database_timeout", "250ms", 0.25),
        ("longest_upload", "PT2H", 7200.0),
        ("longest_upload", "2h", 7200.0),
    ],
)
def test_sizes_times_and_words_may_be_written_as_people_write_them(
    environment: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    environment.setenv(f"ATTACHERY_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_a_misspelt_flag_is_refused_with_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(["audit", "--jsn", "--repairs"])
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert "--jsn (did you mean --json?), --repairs (did you mean --repair?)" in said


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


def test_representations_of_settings_hide_secrets() -> None:
    settings = Settings(
        database_url=SecretStr(f"postgresql://u:{SECRET}@h/n"),
        s3_bucket="b",
        s3_access_key="AK",
        s3_secret_key=SecretStr(SECRET),
    )
    assert SECRET not in f"{settings} {settings!r}"
    with pytest.raises(ValidationError):
        settings.seal = "copy"  # type: ignore[misc]
