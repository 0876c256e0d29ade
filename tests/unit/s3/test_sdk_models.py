"""The lean description of S3 equals the SDK's own, without its manual."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader, Loader

from attachery_service.s3.client import StorageOptions, open_storage
from attachery_service.s3.sdk_models import LeanModels
from support.store_fixtures import load_file_anew

DATA = Path(Loader.BUILTIN_DATA_PATH)
# All files that are loaded for S3, and for the sources of credentials.
READ = sorted(
    f"{service}/{version.name}/{file.name.partition('.json')[0]}"
    for service in ("s3", "sts", "sso", "sso-oidc")
    for version in (DATA / service).iterdir()
    for file in version.iterdir()
)
READ += ["endpoints", "partitions", "sdk-default-configuration"]
OPTIONS = StorageOptions(
    bucket="bucket", endpoint="http://127.0.0.1:9000", access_key="a", secret_key="b"
)


def without_manual(model: Any) -> Any:
    if isinstance(model, list):
        return [without_manual(each) for each in model]
    if not isinstance(model, dict):
        return model
    return {
        name: "" if name == "documentation" and isinstance(value, str) else without_manual(value)
        for name, value in model.items()
    }


def in_order(model: Any) -> Any:
    """Compares the order too, which dicts ignore."""
    if isinstance(model, list):
        return [in_order(each) for each in model]
    return [(k, in_order(v)) for k, v in model.items()] if isinstance(model, dict) else model


@pytest.mark.parametrize("name", READ)
def test_a_model_is_the_sdks_without_the_manual(name: str) -> None:
    lean = load_file_anew(LeanModels(), str(DATA / name))
    whole = JSONFileLoader().load_file(str(DATA / name))

    assert in_order(lean) == in_order(without_manual(whole))


def test_a_field_called_documentation_stays(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"documentation": {"shape": "Text"}}')

    assert load_file_anew(LeanModels(), str(tmp_path / "model")) == {
        "documentation": {"shape": "Text"}
    }


def test_a_missing_model_is_none(tmp_path: Path) -> None:
    assert load_file_anew(LeanModels(), str(tmp_path / "model")) is None


async def test_the_client_works_without_the_manual() -> None:
    async with open_storage(OPTIONS) as storage:
        s3 = storage.s3.meta.service_model

    assert "PutObject" in s3.operation_names
    assert s3.documentation == ""


async def test_an_operators_own_models_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_DATA_PATH takes precedence, as in every AWS SDK."""
    whole = JSONFileLoader().load_file(str(DATA / "s3" / "2006-03-01" / "service-2"))
    whole["metadata"]["serviceFullName"] = "A store of our own"
    folder = tmp_path / "s3" / "2006-03-01"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(json.dumps(whole))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))

    async with open_storage(OPTIONS) as storage:
        assert storage.s3.meta.service_model.metadata["serviceFullName"] == "A store of our own"
