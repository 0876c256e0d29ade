"""Errors that prevent the start of `attachery serve`: one line each, no traceback, no secret."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from attachery_service.app.serve import open_app
from attachery_service.cli.messages import error_line
from attachery_service.observability.logs import redact
from attachery_service.settings.service import Settings
from support.process_fixtures import ServeSettings
from support.processes import ran

SECRET = "words-nobody-may-read"


@pytest.fixture
def taken() -> Iterator[str]:
    """An address in use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def refusal(settings: ServeSettings) -> str:
    """Returns the message of the command line."""
    chosen = Settings.model_validate(settings)
    with pytest.raises(Exception) as refused:  # noqa: PT011  each has a line of its own
        async with open_app(chosen):
            pass
    return redact(error_line(refused.value))


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"s3_bucket": "no-such-bucket"}, "no such bucket"),
        ({"s3_bucket": "no-such-bucket", "seal": "auto"}, "no such bucket"),
        ({"s3_secret_key": SECRET, "seal": "auto"}, "wrong keys"),
        ({"s3_endpoint": "http://127.0.0.1:1"}, "does not answer"),
        ({"database_url": f"postgresql://u:{SECRET}@127.0.0.1:1/n"}, "ConnectionRefusedError"),
    ],
)
async def test_missing_dependencies_are_named(
    serve_settings: ServeSettings, wrong: ServeSettings, said: str
) -> None:
    line = await refusal({**serve_settings, **wrong})
    assert said in line
    assert SECRET not in line


@pytest.mark.parametrize("setting", ["purposes", "quotas"])
async def test_a_file_is_refused_with_its_line(
    serve_settings: ServeSettings, tmp_path: Path, setting: str
) -> None:
    file = tmp_path / "settings.toml"
    line = await refusal({**serve_settings, setting: file})
    assert line == f"{file}: No such file or directory"
    file.write_text("[acme]\n\nmax_weight = 1\n", encoding="utf-8")
    line = await refusal({**serve_settings, setting: file})
    assert line.startswith(f"{file}:3: [acme] max_weight: ")


async def test_a_database_that_does_not_let_us_in_is_named(
    serve_settings: ServeSettings, database_url: str
) -> None:
    url = urlsplit(database_url)
    stranger = url._replace(netloc=f"{url.username}:{SECRET}@{url.hostname}:{url.port}").geturl()
    line = await refusal({**serve_settings, "database_url": stranger})
    assert "password authentication failed" in line
    assert SECRET not in line
    line = await refusal({**serve_settings, "database_url": f"{database_url}_gone"})
    assert "does not exist" in line


async def test_an_address_that_is_taken_is_named(serve_settings: ServeSettings, taken: str) -> None:
    assert taken in await refusal({**serve_settings, "listen": taken})
    line = await refusal({**serve_settings, "metrics_listen": taken})
    assert f"metrics on {taken}" in line


async def test_the_command_says_one_line_and_exits_with_1(
    serve_settings: ServeSettings,
    taken: str,
    empty_database_url: str,
    new_folder: Callable[[], Path],
) -> None:
    for wrong, said in (
        ({"listen": taken}, f"cannot listen on {taken}"),
        ({"s3_bucket": "no-such-bucket"}, "no such bucket"),
        ({"database_url": empty_database_url}, "run 'attachery migrate' first"),
    ):
        done = await ran(new_folder(), "serve", settings={**serve_settings, **wrong})
        assert said in done.refused_with(1)


async def test_a_bug_is_logged_with_its_trace_and_without_secrets(
    serve_settings: ServeSettings, database_url: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE schema_migrations RENAME version TO number")
    await connection.close()
    done = await ran(tmp_path, "serve", settings=serve_settings)
    assert done.code == 1
    logged, line = done.err.splitlines()
    assert '"event": "bug"' in logged
    assert "UndefinedColumnError" in logged
    assert line.startswith("attachery: ")
    assert str(urlsplit(database_url).password) not in done.err
