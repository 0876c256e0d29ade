"""Media types: their grammar, and the types that bytes may be served as."""

from __future__ import annotations

import pytest

from attachery_service.domain.content_types import canonical, is_media_type, safe_to_serve, same


@pytest.mark.parametrize(
    "text",
    [
        "text/plain",
        "application/vnd.oasis.opendocument.text",
        "image/svg+xml",
        'text/plain; charset="utf-8"; x=y',
        'a/b;p="quoted \\" pair"',
        "a/b ; c=d",
        "a/b;",
    ],
)
def test_a_media_type_of_rfc_9110_is_one(text: str) -> None:
    assert is_media_type(text)


@pytest.mark.parametrize(
    "text", ["", "text", "text/", "/plain", "a/b c", "a/b;p", "a/b;p=", "a/b;p=\x7f", "a b/c"]
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_media_type(text)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("part", ["; ", ";", " ;", ";a=b ", '; a="\\"'])
def test_refusing_takes_no_longer_for_many_parameters(part: str) -> None:
    assert not is_media_type("a/b" + part * (252 // len(part)) + "\x01")


def test_storage_may_fold_case_and_space_only() -> None:
    assert same("Text/Plain; charset=utf-8", "text/plain;charset=utf-8")
    assert not same("text/plain", "text/plain; charset=utf-8")
    assert not same("text/plain", "text/html")


def test_the_names_of_one_type_have_one_canonical_name() -> None:
    assert canonical("image/jpg") == canonical("image/jpeg")
    assert canonical("application/x-gzip") == canonical("Application/GZIP; a=b")
    assert canonical("application/x-zip-compressed") == canonical("application/zip")
    assert canonical("application/pdf") != canonical("image/png")


@pytest.mark.parametrize("declared", ["text/html", "image/svg+xml", "application/xhtml+xml", "x/y"])
def test_executable_types_are_never_served_as_themselves(declared: str) -> None:
    for inline in (True, False):
        assert safe_to_serve(declared, inline=inline) == "application/octet-stream"
