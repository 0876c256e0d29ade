"""The access rules of every method of the contract, by its path."""

from __future__ import annotations

from attachery_service.rpc.methods import CONTRACT, Access

RULES = {
    f"/{service.full_name}/{method.name}": Access.of(method)
    for service in CONTRACT
    for method in service.methods
}
