"""Real servers for every test: PostgreSQL, an S3 store, and Attachery in front of them."""

from __future__ import annotations

import pytest

pytest_plugins = [
    "support.hot_paths",
    "support.store_fixtures",
    "support.database_fixtures",
    "support.service_fixtures",
    "support.process_fixtures",
    "support.gateway_fixtures",
    "support.sweep_fixtures",
    "support.redis_fixtures",
    "support.sampling",
]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how many kinds of bad input were refused in this run."""
    passed = terminalreporter.stats.get("passed", [])
    refused = sum("bad_input" in report.keywords for report in passed)
    if refused:
        terminalreporter.write_line(f"bad inputs refused: {refused}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shutdown-rounds",
        type=int,
        default=1,
        help="how often the tests of tests/cli/test_shutdown.py stop or restart servers",
    )


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shows the length of bytes instead of the bytes, for equal names in every worker."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 12 else None
