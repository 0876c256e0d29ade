"""The client offers the whole contract."""

from __future__ import annotations

import re

import pytest

from attachery_client import AttacheryClient
from attachery_service.rpc.methods import CONTRACT

_RPCS = [method.name for service in CONTRACT for method in service.methods]


@pytest.mark.requirement("N16")
@pytest.mark.parametrize("rpc", _RPCS)
def test_every_rpc_has_a_client_method_of_its_name(rpc: str) -> None:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
    assert callable(getattr(AttacheryClient, name))
