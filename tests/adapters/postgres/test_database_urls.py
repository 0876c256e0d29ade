"""Database URLs as hosting providers print them connect; unknown parameters are refused by name."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from attachery_service.domain.errors import AttacheryError
from attachery_service.observability.logs import configure_logs
from attachery_service.postgres.connection.url import read_database_url
from attachery_service.postgres.database import DatabaseOptions, open_database
from attachery_service.postgres.migrate import migrate
from attachery_service.postgres.queries import Query
from support.certificates import Authority
from support.commands import run

SECRET = "words-nobody-may-read"

ONE = Query.compile("SELECT 1 AS one")
VALUE = Query.compile("SELECT :value::int AS value")
SETTING = Query.compile("SELECT current_setting(:name) AS value")
KEPT = Query.compile("SELECT count(*) AS kept FROM pg_prepared_statements")

# The query of a URL, by its provider.
PRINTED = {
    "Neon": "sslmode=prefer&channel_binding=require",
    "Neon, pooled, for Prisma": (
        "sslmode=prefer&channel_binding=require&connect_timeout=15&pool_timeout=15"
    ),
    "Supabase, transaction pool, for Prisma": "pgbouncer=true&connection_limit=1",
    "Vercel for Supabase": "sslmode=prefer&supa=base-pooler.x&pgbouncer=true",
    "Vercel, older": "workaround=supabase-pooler.vercel",
    "Fly": "sslmode=disable",
    "Heroku, with JDBC": "ssl=false&user=&password=",
    "Prisma": (
        "schema=public&connection_limit=5&pool_timeout=0&socket_timeout=10&"
        "sslaccept=accept_invalid_certs&ssl=false&sslmode=disable"
    ),
    "node-postgres": "uselibpqcompat=true&sslmode=prefer",
    "pgx": "pool_max_conns=10&default_query_exec_mode=simple_protocol",
    "JDBC": "prepareThreshold=0&tcpKeepAlive=true&currentSchema=public",
    "SQLAlchemy": "prepared_statement_cache_size=0",
    "libpq, keep-alive": (
        "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&"
        "tcp_user_timeout=1000"
    ),
    "libpq, GSS": "gssencmode=disable&krbsrvname=postgres&gssdelegation=0",
    "libpq, session": (
        "target_session_attrs=read-write&load_balance_hosts=random&connect_timeout=0"
    ),
    "libpq, versions": (
        "min_protocol_version=3.0&max_protocol_version=latest&ssl_min_protocol_version=TLSv1.2"
    ),
    "libpq, protection": (
        "require_auth=scram-sha-256&sslcertmode=disable&sslsni=1&sslcompression=0&requiressl=0"
    ),
    "libpq, names": "fallback_application_name=x&client_encoding=UTF8",
    "YugabyteDB": "load_balance=true&topology_keys=a.b.c",
    "CockroachDB": "options=-c%20search_path%3Dpublic",
    "twice": "sslmode=require&sslmode=disable",
    "empty": "sslmode=&connect_timeout=&",
}


async def setting(url: str, name: str) -> object:
    async with open_database(DatabaseOptions(url=url)) as database:
        row = await database.row(SETTING, name=name)
    assert row is not None
    return row["value"]


@pytest.mark.sample(4)
@pytest.mark.parametrize("query", PRINTED.values(), ids=PRINTED)
async def test_urls_of_providers_connect_and_migrate(database_url: str, query: str) -> None:
    url = f"{database_url}?{query}".replace("postgresql://", "postgres://")
    async with open_database(DatabaseOptions(url=url)) as database:
        assert await database.row(ONE) is not None
    assert await migrate(url) == []


async def test_parameters_of_the_session_reach_the_server(postgres_url: str) -> None:
    assert await setting(postgres_url, "application_name") == "attachery"
    for query, name, value in (
        ("application_name=mine", "application_name", "mine"),
        ("fallback_application_name=other", "application_name", "other"),
        ("options=-c%20lock_timeout%3D7s", "lock_timeout", "7s"),
        ("schema=tenant_a", "search_path", "tenant_a"),
        ("currentSchema=tenant_b", "search_path", "tenant_b"),
        ("statement_timeout=9000", "statement_timeout", "9s"),
    ):
        assert await setting(f"{postgres_url}?{query}", name) == value


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("query", "prepares"),
    [
        ("", True),
        ("pgbouncer=false", True),
        ("prepared_statements=true", True),
        ("statement_cache_size=500", True),
        ("pgbouncer=true", False),
        ("prepared_statements=false", False),
        ("statement_cache_size=0", False),
        ("prepareThreshold=0", False),
        ("default_query_exec_mode=exec", False),
    ],
)
async def test_a_url_for_a_transaction_pool_leaves_no_prepared_statement(
    database_url: str, query: str, prepares: bool
) -> None:
    options = DatabaseOptions(url=f"{database_url}?{query}", pool_size=1)
    async with open_database(options) as database:
        await database.row(VALUE, value=1)
        count = await database.row(KEPT)
    assert count is not None
    assert (count["kept"] > 0) is prepares


async def test_parameters_without_effect_are_logged_by_name(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs()
    url = f"{postgres_url}?keepalives_idle=30&channel_binding=require&gssencmode=prefer"
    assert await setting(url, "port")
    dropped, unprotected = capsys.readouterr().err.splitlines()
    assert '["gssencmode", "keepalives_idle"]' in dropped
    assert '"level": "info"' in dropped
    assert '["channel_binding"]' in unprotected
    assert '"level": "warning"' in unprotected


@pytest.mark.parametrize(
    ("role", "password"),
    [("at", "p@ss:w%rd"), ("percent", "50%off+more"), ("unicode", "ümläut =&")],
)
async def test_a_password_is_taken_raw_and_encoded(
    empty_database_url: str, role: str, password: str
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(f"CREATE ROLE test_{role} LOGIN PASSWORD '{password}'")
    await connection.close()
    for written in (quote(password, safe=""), password):
        url = f"postgresql://test_{role}:{written}@{empty_database_url.rpartition('@')[2]}"
        assert await setting(url, "port")


async def test_of_several_hosts_the_one_that_answers_is_used(postgres_url: str) -> None:
    user_info, _, place = urlsplit(postgres_url).netloc.rpartition("@")
    url = f"postgresql://{user_info}@127.0.0.1:1,{place}/postgres?target_session_attrs=read-write"
    assert await setting(url, "port") == place.rpartition(":")[2]
    spread = f"postgresql://{user_info}@/postgres?host=127.0.0.1,127.0.0.1&port=1,{place[10:]}"
    assert await setting(spread, "port") == place.rpartition(":")[2]
    address = f"postgresql://{user_info}@/postgres?hostaddr=127.0.0.1&port={place[10:]}"
    assert await setting(address, "port") == place.rpartition(":")[2]


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def forwarding(postgres_url: str, tls: ssl.SSLContext | None = None) -> Handler:
    """Forwards connections to PostgreSQL, behind PostgreSQL's TLS if `tls` is given."""
    place = urlsplit(postgres_url)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if tls is not None:
                await reader.readexactly(8)  # SSLRequest
                writer.write(b"S")
                await writer.start_tls(tls)
            there = await asyncio.open_connection(place.hostname, place.port)
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))
        writer.close()

    return forward


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    writer.close()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose socket paths fit into 107 bytes."""
    with TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


async def test_a_unix_socket_is_reached_in_either_form(
    short_folder: Path, postgres_url: str
) -> None:
    user_info = urlsplit(postgres_url).netloc.rpartition("@")[0]
    folder = short_folder / "project:region:instance"
    folder.mkdir()
    server = await asyncio.start_unix_server(forwarding(postgres_url), folder / ".s.PGSQL.5432")
    async with server:
        for url in (
            f"postgresql://{user_info}@/postgres?host={folder}",
            f"postgresql://{user_info}@{quote(str(folder), safe='')}/postgres",
        ):
            assert await setting(url, "port")


@pytest.fixture
async def tls_url(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The URL of a front end with TLS; its authority is root.pem, beside an empty none.pem."""
    monkeypatch.setenv("HOME", str(tmp_path))
    authority = Authority("test")
    (tmp_path / "root.pem").write_bytes(authority.pem)
    (tmp_path / "none.pem").touch()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server").write(tmp_path, "server"))
    server = await asyncio.start_server(forwarding(postgres_url, context), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        user_info = urlsplit(postgres_url).netloc.rpartition("@")[0]
        yield f"postgresql://{user_info}@127.0.0.1:{port}/postgres"


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("query", "system_roots"),
    [
        ("sslmode=no-verify", "none.pem"),
        ("sslmode=require", "none.pem"),
        ("ssl=true", "none.pem"),
        ("requiressl=1", "none.pem"),
        ("sslaccept=accept_invalid_certs", "none.pem"),
        ("sslmode=verify-full&sslrootcert={root}", "none.pem"),
        ("sslrootcert=system", "root.pem"),
        ("sslmode=verify-full&sslrootcert=system", "root.pem"),
        ("sslaccept=strict", "root.pem"),
    ],
)
async def test_a_url_that_demands_tls_connects(
    tls_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, system_roots: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / system_roots))
    assert await setting(f"{tls_url}?{query.format(root=tmp_path / 'root.pem')}", "port")


@pytest.mark.parametrize(
    "query", ["sslmode=require&sslrootcert=system", "sslrootcert=system", "sslaccept=strict"]
)
async def test_verification_refuses_a_certificate_of_an_unknown_authority(
    tls_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(AttacheryError):
        await setting(f"{tls_url}?{query}", "port")


REFUSED = [
    ("postgresql://u:S@h/n?ssl_mode=require", "unknown parameter ssl_mode (did you mean sslmode?)"),
    ("postgresql://u:S@h/n?work_mem=S", "unknown parameter work_mem (a setting of the server goes"),
    ("postgresql://u:S@h/n?sslmode=S", "the parameter sslmode must be one of allow, disable"),
    ("postgresql://u:S@h/n?target_session_attrs=S", "target_session_attrs must be one of any"),
    ("postgresql://u:S@h/n?connect_timeout=S", "connect_timeout must be a number of seconds"),
    ("postgresql://u:S@h/n?port=S", "the parameter port must be a number"),
    ("postgresql://u:S@h:99999/n", "must be postgresql://USER"),
    ("postgresql://u:S@h/n?flag", "must be postgresql://USER"),
    ("postgresql://u:12?S=1@h/n", "must be postgresql://USER"),
    ("postgresql://u:12/S@h/n", "must be postgresql://USER"),
    ("jdbc:postgresql://h/n?user=u&password=S", "must be postgresql://USER"),
    ("host=h dbname=n password=S", "must be postgresql://USER"),
]


@pytest.mark.parametrize(("url", "said"), REFUSED)
def test_invalid_parameters_are_refused_by_name_without_the_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^(unknown|the|must)") as refused:
        read_database_url(url.replace("S", SECRET))
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve",),
        ("worker",),
        ("migrate",),
        ("check",),
        ("keys", "list"),
        ("audit",),
        ("bucket", "setup"),
        ("dev", "--database-url", f"postgresql://u:{SECRET}@h/n?ssl_mode=require"),
    ],
)
def test_every_command_refuses_an_unknown_parameter_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    url = f"postgresql://u:{SECRET}@h/n?ssl_mode=require"
    monkeypatch.setenv("ATTACHERY_DATABASE_URL", url)
    monkeypatch.setenv("ATTACHERY_S3_BUCKET", "b")
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ATTACHERY_DATABASE_URL: unknown parameter ssl_mode (did you mean sslmode?)" in line
    assert SECRET not in line
