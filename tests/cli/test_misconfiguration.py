"""Misconfigurations are reported in one line: the subject, the cause and the remedy."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest
from pydantic import SecretStr

from attachery_service.app.serve import open_app
from attachery_service.cli.messages import error_line
from attachery_service.observability.logs import redact
from attachery_service.postgres import migrate as migrating
from attachery_service.settings.service import Settings
from support.certificates import Authority
from support.failures import failure
from support.process_fixtures import RunHere, ServeSettings
from support.service_fixtures import MakeService

SECRET = "words-nobody-may-read"
OUTAGE = "nothing was lost"


async def refusal(settings: ServeSettings) -> str:
    """Returns the message of the command line when the server cannot start."""
    chosen = Settings.model_validate(settings)
    with pytest.raises(Exception) as refused:  # noqa: PT011  each has a line of its own
        async with open_app(chosen):
            pass
    line = redact(" ".join(error_line(refused.value).split()))
    assert OUTAGE not in line
    assert SECRET not in line
    return line


async def answer_as_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.fixture
async def http_server() -> AsyncIterator[str]:
    """HOST:PORT of a server that refuses every request, without TLS."""
    server = await asyncio.start_server(answer_as_http, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def https_server(tmp_path: Path) -> AsyncIterator[str]:
    """The same with TLS, and the certificate of an unknown authority."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*Authority("unknown").issue("server").write(tmp_path, "server"))
    server = await asyncio.start_server(answer_as_http, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def visitor(database_url: str) -> str:
    """The URL of a role that can connect and has no other right."""
    name = f"visitor_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    await connection.close()
    return f"postgresql://{name}:{SECRET}@{database_url.rpartition('@')[2]}"


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://{user}:wrong@{place}/{name}", "it refuses the user or the password"),
        ("postgresql://nobody:wrong@{place}/{name}", "it refuses the user or the password"),
        ("postgresql://{user}:{password}@{place}/gone", "there is no such database"),
        ("postgresql://{user}:{password}@nowhere.invalid/n", "the host name is unknown"),
        ("{itself}?sslmode=require", "it offers no TLS, or is not PostgreSQL"),
        ("{itself}?sslmode=require&sslcert=/gone.pem", "a file or socket that ATTACHERY_DATABASE"),
        ("{itself}?sslmode=require&sslcert=/etc/passwd", "a TLS file that ATTACHERY_DATABASE_URL"),
        ("{itself}?sslmode=verify-full&sslrootcert=/etc/passwd", "a TLS file that ATTACHERY_DATA"),
        ("{itself}?sslnegotiation=direct&sslmode=prefer", "the driver cannot use ATTACHERY_DATAB"),
        ("postgresql://u:p@/n?host=/gone", "a file or socket that ATTACHERY_DATABASE_URL names"),
        ("postgresql://u:p@{http}/n", "it offers no TLS, or is not PostgreSQL"),
        ("postgresql://u:p@{https}/n", "it closes the connection"),
        ("postgresql://u:p@127.0.0.1:1/n", "nothing listens on that host and port"),
    ],
)
async def test_a_database_that_is_set_up_wrong_is_explained(
    serve_settings: ServeSettings, http_server: str, https_server: str, url: str, said: str
) -> None:
    itself = str(serve_settings["database_url"])
    parts = urlsplit(itself)
    values = {
        "itself": itself,
        "user": parts.username,
        "password": parts.password,
        "place": f"{parts.hostname}:{parts.port}",
        "name": parts.path[1:],
        "http": http_server,
        "https": https_server,
    }
    line = await refusal({**serve_settings, "database_url": url.format(**values)})
    assert line.startswith("the database cannot be ")
    assert said in line
    assert line.endswith(")")  # the cause
    assert str(parts.password) not in line


async def test_a_missing_privilege_is_explained(serve_settings: ServeSettings) -> None:
    url = await visitor(str(serve_settings["database_url"]))
    line = await refusal({**serve_settings, "database_url": url})
    assert line.startswith("the database cannot be used: the user lacks a privilege")
    assert "permission denied" in line


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"s3_bucket": "no-such-bucket"}, "there is no such bucket"),
        ({"s3_bucket": "B a d!"}, "ATTACHERY_S3_BUCKET cannot be the name of a bucket"),
        ({"s3_region": "no region"}, "ATTACHERY_S3_REGION cannot be the name of a region"),
        ({"s3_secret_key": SECRET}, "wrong keys: the signature does not fit"),
        ({"s3_access_key": "AKIAUNKNOWN"}, "wrong keys"),
        ({"s3_endpoint": "http://127.0.0.1:1"}, "nothing listens on that host and port"),
        ({"s3_endpoint": "http://nowhere.invalid"}, "the host name is unknown"),
        ({"s3_endpoint": "https://{http}"}, "it does not speak TLS on that port"),
        ({"s3_endpoint": "https://{https}"}, "its TLS certificate is not trusted"),
        ({"s3_endpoint": "http://{https}"}, "the server is no object storage, or expects another"),
        ({"s3_endpoint": "http://{http}"}, "object storage rejects the request as malformed"),
    ],
)
async def test_an_object_store_that_is_set_up_wrong_is_explained(
    serve_settings: ServeSettings,
    http_server: str,
    https_server: str,
    wrong: dict[str, str],
    said: str,
) -> None:
    places = {"http": http_server, "https": https_server}
    values = {name: value.format(**places) for name, value in wrong.items()}
    # With a configured seal, wrong keys do not prevent the start.
    for seal in ("auto",) if "wrong keys" in said else ("auto", "write_once"):
        line = await refusal({**serve_settings, **values, "seal": seal})
        assert line.startswith("object storage cannot be ")
        assert said in line


async def test_wrong_keys_are_logged_at_start_where_no_probe_refuses_them(
    serve_settings: ServeSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {**serve_settings, "s3_secret_key": SECRET, "seal": "write_once"}
    async with open_app(Settings.model_validate(settings)):
        await logged(capfd, "object storage misconfigured", "wrong keys")


async def test_a_server_that_is_too_old_is_refused(
    serve_settings: ServeSettings, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "OLDEST_POSTGRESQL", 99)
    assert "this release needs 99 or newer" in await refusal(serve_settings)
    done = await run_here("migrate", settings={"database_url": serve_settings["database_url"]})
    assert "this release needs 99 or newer" in done.refused_with(1)


@pytest.mark.parametrize("arguments", [("keys", "list"), ("check",), ("audit",)])
async def test_operators_commands_explain_it_too(
    serve_settings: ServeSettings, run_here: RunHere, arguments: tuple[str, ...]
) -> None:
    wrong = {**serve_settings, "database_url": f"{serve_settings['database_url']}_gone"}
    done = await run_here(*arguments, settings=wrong)
    line = done.refused_with(2 if arguments == ("audit",) else 1)
    assert "there is no such database: create it" in line
    assert OUTAGE not in line


async def test_a_wrong_settings_file_exits_with_2(
    serve_settings: ServeSettings, run_here: RunHere, tmp_path: Path
) -> None:
    (tmp_path / "purposes.toml").write_text("not toml at all")
    settings = {**serve_settings, "purposes": tmp_path / "purposes.toml"}
    assert "purposes.toml" in (await run_here("check", settings=settings)).refused_with(2)


async def test_a_password_that_was_changed_is_an_outage_to_callers_and_explained_in_the_log(
    make_service: MakeService,
    database_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = await visitor(database_url)
    role = str(urlsplit(url).username)
    owner = await asyncpg.connect(database_url)
    await owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    service = await make_service(
        database_url=SecretStr(url), database_pool_size=1, health_interval=0.05
    )
    await owner.execute(f"ALTER ROLE {role} PASSWORD 'another'")
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role
    )
    refused = await failure(service.start(size_bytes=6))
    while refused.reason != "DATABASE_UNAVAILABLE":  # a connection that just ended
        refused = await failure(service.start(size_bytes=6))
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.facts == {"httpStatus": "503"}
    assert role not in str(refused)
    await logged(capfd, "database misconfigured", "it refuses the user or the password")
    await owner.close()


async def logged(capfd: pytest.CaptureFixture[str], event: str, detail: str) -> None:
    seen = ""
    async with asyncio.timeout(20):
        while True:
            seen += capfd.readouterr().err
            lines = [json.loads(line) for line in seen.splitlines() if line.startswith("{")]
            if any(line["event"] == event and detail in line.get("detail", "") for line in lines):
                return
            await asyncio.sleep(0.02)
