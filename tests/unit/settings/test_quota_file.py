"""The quota file: accepted as a whole, or refused with the line of the error."""

from __future__ import annotations

from pathlib import Path

import pytest

from attachery_service.domain.errors import (
    AttachmentsLimit,
    PendingSessionsLimit,
    ResourceExhausted,
    StorageQuotaExceeded,
)
from attachery_service.domain.policy import Policy
from attachery_service.domain.quota import Limits, Usage
from attachery_service.settings.quotas import read_quotas
from attachery_service.settings.toml import SettingsFileError
from support.new_sessions import new_session

COMMON = Limits(max_pending_sessions=10, max_stored_bytes=1000)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "quotas.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_all_tenants_have_the_common_limits() -> None:
    assert read_quotas(None, COMMON).of("anyone") == COMMON
    assert read_quotas(None, Limits()).of("anyone") == Limits()


def test_a_tenant_overrides_only_its_own_keys(tmp_path: Path) -> None:
    text = """
        [acme]
        max_pending_sessions = 0
        ["~a.b-c"]
        max_pending_bytes = 5
        max_stored_bytes = "unlimited"
        max_attachments = 7
    """
    quotas = read_quotas(written(tmp_path, text), COMMON)
    assert quotas.of("other") == COMMON
    assert quotas.of("acme") == Limits(max_pending_sessions=0, max_stored_bytes=1000)
    assert quotas.of("~a.b-c") == Limits(
        max_pending_sessions=10, max_pending_bytes=5, max_attachments=7
    )


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[a]\nmax_pending_sessions = -1", 2, "max_pending_sessions"),
        ("[a]\n\nmax_stored_bytes = 'much'", 3, "max_stored_bytes"),
        ("[a]\nmax_attachments = -1", 2, "max_attachments"),
        ("[a]\nmax_attachments = '1kB'", 2, "max_attachments"),
        ("[a]\nmax_attachments = true", 2, "max_attachments"),
        ("[a]\nmax_attachments = 99999999999999999999", 2, "max_attachments"),
        ("[a]\nmax_stored_bytes = 1.5", 2, "max_stored_bytes"),
        ("[a]\nmax_stored_bytes = true", 2, "max_stored_bytes"),
        ("[a]\nmax_stored_bytes = 99999999999999999999", 2, "max_stored_bytes"),
        ("[a]\nmax_bytes = 1", 2, "max_bytes"),
        ("['a b']\nmax_stored_bytes = 1", 1, "a b"),
        ("[a]\nmax_stored_bytes = 1\n[b.c]\nmax_stored_bytes = 1", 1, "b"),
        ("max_stored_bytes = 1", 1, "max_stored_bytes"),
        ("[a]\nmax_stored_bytes = \n", 2, "line 2"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, word: str
) -> None:
    with pytest.raises(SettingsFileError) as caught:
        read_quotas(written(tmp_path, text), COMMON)
    message = str(caught.value)
    assert word in message
    assert f"quotas.toml:{line}:" in message or f"line {line}" in message


@pytest.mark.parametrize(
    ("limits", "of_purpose", "error", "quota"),
    [
        (Limits(), None, None, None),
        (
            Limits(
                max_pending_sessions=3,
                max_pending_bytes=30,
                max_stored_bytes=130,
                max_attachments=8,
            ),
            5,
            None,
            None,
        ),
        (Limits(max_pending_sessions=2), None, PendingSessionsLimit, "max_pending_sessions"),
        (Limits(max_pending_bytes=29), None, StorageQuotaExceeded, "max_pending_bytes"),
        (Limits(max_stored_bytes=129), None, StorageQuotaExceeded, "max_stored_bytes"),
        (Limits(max_attachments=7), None, AttachmentsLimit, "max_attachments"),
        (Limits(), 4, AttachmentsLimit, "max_attachments"),
        # Of several exceeded limits, the first in the order of the settings is reported.
        (
            Limits(max_pending_sessions=2, max_attachments=7),
            4,
            PendingSessionsLimit,
            "max_pending_sessions",
        ),
    ],
)
def test_a_session_that_fills_the_quota_exactly_fits(
    limits: Limits,
    of_purpose: int | None,
    error: type[ResourceExhausted] | None,
    quota: str | None,
) -> None:
    used = Usage(
        pending_sessions=2,
        pending_bytes=20,
        stored_bytes=100,
        attachments=7,
        by_purpose={"avatar": 4},
    )
    new = new_session(10, purpose="avatar", policy=Policy(max_attachments=of_purpose))
    refused = used.refusal(new, limits)
    assert (refused.facts["quota"] if refused else None) == quota
    assert error is None or isinstance(refused, error)


def test_a_refusal_names_the_purpose_only_if_the_limit_is_that_of_the_purpose() -> None:
    used = Usage(
        pending_sessions=0, pending_bytes=0, stored_bytes=0, attachments=7, by_purpose={"avatar": 4}
    )
    new = new_session(10, purpose="avatar", policy=Policy(max_attachments=3))
    of_purpose = used.refusal(new, Limits())
    of_tenant = used.refusal(new, Limits(max_attachments=5))
    assert of_purpose
    assert of_tenant
    common = {"tenantId": "acme", "quota": "max_attachments", "asked": "1"}
    assert of_purpose.facts == common | {"purpose": "avatar", "limit": "3", "used": "4"}
    assert of_tenant.facts == common | {"limit": "5", "used": "7"}


def test_sizes_may_be_written_as_in_the_settings_and_misspelt_keys_are_refused(
    tmp_path: Path,
) -> None:
    text = '[acme]\nmax_pending_bytes = "10 GB"\nmax_stored_bytes = "1TiB"\n'
    limits = read_quotas(written(tmp_path, text), COMMON).of("acme")
    assert limits.max_pending_bytes == 10_000_000_000
    assert limits.max_stored_bytes == 2**40
    with pytest.raises(SettingsFileError, match="did you mean 'max_pending_sessions'"):
        read_quotas(written(tmp_path, "[acme]\nmax_sessions = 1\n"), COMMON)
