"""The client offers the whole contract."""

from __future__ import annotations

import re

import pytest

from attachery.v1 import admin_pb2, attachments_pb2, upload_sessions_pb2
from attachery_client import AttacheryClient

_RPCS = [
    method.name
    for module in (upload_sessions_pb2, attachments_pb2, admin_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.mark.requirement("N16")
@pytest.mark.parametrize("rpc", _RPCS)
def test_every_rpc_has_a_client_method_of_its_name(rpc: str) -> None:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
    assert callable(getattr(AttacheryClient, name))
