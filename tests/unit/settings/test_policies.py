"""The policy file: accepted as a whole, or refused with the line of the error."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from attachery_service.domain.policy import Policy, Route, Sniffing, UndeclaredSize
from attachery_service.settings.policies import read_policies
from attachery_service.settings.toml import SettingsFileError


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
    assert policy.max_object_retention == timedelta(days=30)
    assert policy.max_metadata_retention == timedelta(days=365)
    assert not policy.delete_when_consumed
    assert policy.undeclared_size is UndeclaredSize.FORM
    assert [route.name for route in policy.routes] == ["json", "multipart", "upload_session"]


def test_a_purpose_overrides_only_its_own_keys(tmp_path: Path) -> None:
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


def test_a_purpose_has_lifetimes_and_routes_of_its_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [mail]
        object_retention = "P2D"
        max_object_retention = "P2D"
        metadata_retention = "P2D"
        max_metadata_retention = 172800
        delete_when_consumed = true
        routes = [{ name = "post", max_size = 10 }, { name = "upload_session" }]
        """,
    )
    mail = read_policies(path, Policy())["mail"]
    assert mail.object_retention == mail.max_object_retention == timedelta(days=2)
    assert mail.metadata_retention == mail.max_metadata_retention == timedelta(days=2)
    assert mail.delete_when_consumed
    assert mail.routes == (Route(name="post", max_size=10), Route(name="upload_session"))


@pytest.mark.parametrize(
    ("max_size", "size", "name", "limit"),
    [
        (1000, 10, "post", 10),
        (1000, 11, "upload_session", 1000),
        (1000, 1000, "upload_session", 1000),
        (5, 5, "post", 5),
    ],
)
def test_a_file_takes_the_first_route_it_fits(
    max_size: int, size: int, name: str, limit: int
) -> None:
    routes = (Route(name="post", max_size=10), Route(name="upload_session"))
    policy = Policy(max_size=max_size, routes=routes)
    route = policy.route_of([size], base64=False)
    assert route is not None
    assert (route.name, policy.route_limit(route)) == (name, limit)
    assert policy.route_of([max_size + 1], base64=False) is None


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[a]\nmax_size = 0", 2, "max_size"),
        ("[a]\n\nmax_size = 'big'", 3, "max_size"),
        ("[a]\nmax_sise = 1", 2, "max_sise"),
        ("[a]\nmax_attachments = -1", 2, "max_attachments"),
        ("[a]\nmax_attachments = '1kB'", 2, "max_attachments"),
        ("[a]\nmax_attachments = true", 2, "max_attachments"),
        ("[a]\nmax_attachments = 99999999999999999999", 2, "max_attachments"),
        ("[b]\n[a]\nsniffing = 'maybe'", 3, "sniffing"),
        ("[b]\n[a]\nundeclared_size = 'stream'", 3, "undeclared_size"),
        ("[a]\nundeclared_size = true", 2, "undeclared_size"),
        ("[a]\nundeclared_size = ''", 2, "undeclared_size"),
        ("[a]\ndefault_ttl = -1", 2, "default_ttl"),
        ("\n[a]\ndefault_ttl = 30", 2, "min_ttl"),
        ("[a]\nobject_retention = 'P90D'", 1, "metadata_retention"),
        ("[a]\nmetadata_retention = 86399", 1, "metadata_retention"),
        ("[a]\nmax_object_retention = 3599", 1, "max_object_retention"),
        ("[a]\nmax_metadata_retention = 86400", 1, "max_metadata_retention"),
        ("[a]\nmax_object_retention = 'P3651D'", 2, "max_object_retention"),
        ("[a]\ndelete_when_consumed = 'perhaps'", 2, "delete_when_consumed"),
        (
            "[a]\nroutes = [{name='x', max_size=2}, {name='y', max_size=2}]",
            1,
            "routes must increase",
        ),
        ("[a]\nroutes = [{name='x'}, {name='y', max_size=2}]", 1, "routes must increase"),
        ("[a]\nroutes = [{name='x'}, {name='y'}]", 1, "only the last"),
        ("[a]\nroutes = [{name='x', max_size=1}, {name='x'}]", 1, "distinct names"),
        ("[a]\nroutes = [{name='X', max_size=2}]", 2, "routes"),
        ("[a]\nroutes = [{name='x', max_size=0}]", 2, "routes"),
        ("[a]\nroutes = [{max_size=2}]", 2, "routes"),
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


def test_a_misspelt_key_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    text = """
        [avatar]
        max_sise = 1
        default_tll = 600
        routes = [{ name = "json", maxsize = 5 }]
        """
    path = written(tmp_path, text)
    with pytest.raises(SettingsFileError) as refused:
        read_policies(path, Policy())
    said = str(refused.value)
    for expected in (
        "3: [avatar] max_sise: no such key; did you mean 'max_size'?",
        "4: [avatar] default_tll: no such key; did you mean 'default_ttl'?",
        "5: [avatar] routes: no such key as 'maxsize'; did you mean 'max_size'?",
    ):
        assert f"{path}:{expected}" in said


def test_sizes_and_times_may_be_written_as_in_the_settings(tmp_path: Path) -> None:
    text = """
        [avatar]
        max_size = "5 MiB"
        default_ttl = "10m"
        object_retention = "30d"
        sniffing = "Enforce"
        undeclared_size = "PUT"
        routes = [
            { name = "json", max_size = "2.8MB", base64 = true }, { name = "upload_session" },
        ]
        """
    avatar = read_policies(written(tmp_path, text), Policy())["avatar"]
    assert avatar.max_size == 5 * 2**20
    assert avatar.default_ttl == timedelta(minutes=10)
    assert avatar.object_retention == timedelta(days=30)
    assert avatar.sniffing is Sniffing.ENFORCE
    assert avatar.undeclared_size is UndeclaredSize.PUT
    assert avatar.routes[0] == Route(name="json", max_size=2_800_000, base64=True)
