"""The file of policies: read whole, or refused with the line that is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from attachery_service.domain.policy import Policy, Sniffing
from attachery_service.purposes import read_policies
from attachery_service.toml_tables import SettingsFileError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "purposes.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_there_is_the_built_in_default() -> None:
    assert read_policies(None, Policy()) == {"default": Policy()}
    policy = read_policies(None, Policy())["default"]
    assert policy.max_size == 157_286_400
    assert policy.default_ttl == timedelta(hours=1)
    assert policy.object_retention == timedelta(hours=1)
    assert policy.metadata_retention == timedelta(days=60)


def test_a_purpose_says_only_what_differs(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [avatar]
        max_size = 1000
        sniffing = "enforce"
        default_ttl = "PT10M"
        allowed_content_types = ["image/*", "application/pdf"]
        """,
    )
    policies = read_policies(path, Policy())
    assert policies["default"] == Policy()
    avatar = policies["avatar"]
    assert (avatar.max_size, avatar.sniffing) == (1000, Sniffing.ENFORCE)
    assert avatar.default_ttl == timedelta(minutes=10)
    assert avatar.max_ttl == timedelta(hours=24)
    assert avatar.allows("Image/PNG; x=y")
    assert avatar.allows("application/pdf")
    assert not avatar.allows("text/plain")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[a]\nmax_size = 0", 2, "max_size"),
        ("[a]\n\nmax_size = 'big'", 3, "max_size"),
        ("[a]\nmax_sise = 1", 2, "max_sise"),
        ("[b]\n[a]\nsniffing = 'maybe'", 3, "sniffing"),
        ("[a]\ndefault_ttl = -1", 2, "default_ttl"),
        ("\n[a]\ndefault_ttl = 30", 2, "min_ttl"),
        ("[a]\nobject_retention = 'P90D'", 1, "metadata_retention"),
        ("[a]\nallowed_content_types = ['image']", 1, "image"),
        ("[Avatar]\nmax_size = 1", 1, "Avatar"),
        ("max_size = 1", 1, "max_size"),
        ("[a\nmax_size = 1", 1, "line 1"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, word: str
) -> None:
    with pytest.raises(SettingsFileError) as caught:
        read_policies(written(tmp_path, text), Policy())
    message = str(caught.value)
    assert word in message
    assert f"purposes.toml:{line}:" in message or f"line {line}" in message
