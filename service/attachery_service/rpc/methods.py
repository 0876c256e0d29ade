"""The methods of the contract, with their access rules, as their descriptors define them.

The rules are method options: see protos/attachery/v1/options.proto.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from attachery.v1 import access_pb2, admin_pb2, attachments_pb2, options_pb2, upload_sessions_pb2
from attachery_service.domain.identity import Scope
from attachery_service.domain.rates import Category

UPLOADS: Final = upload_sessions_pb2.DESCRIPTOR.services_by_name["UploadSessionService"]
ATTACHMENTS: Final = attachments_pb2.DESCRIPTOR.services_by_name["AttachmentService"]
ADMIN: Final = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
ACCESS: Final = access_pb2.DESCRIPTOR.services_by_name["AccessService"]
CONTRACT: Final = (UPLOADS, ATTACHMENTS, ADMIN, ACCESS)
SERVICES: Final[tuple[str, ...]] = tuple(service.full_name for service in CONTRACT)

_CATEGORY_PREFIX: Final = "RATE_CATEGORY_"


@dataclass(frozen=True, slots=True)
class Access:
    """The scope that a method requires, and the rate limit that its calls count towards.

    `scope`: None if every authenticated caller may call it, which only methods without a tenant
    permit.
    """

    scope: Scope | None
    category: Category
    accepts_session_token: bool = False
    accepts_connection_token: bool = False
    has_no_tenant: bool = False

    @classmethod
    def of(cls, method: MethodDescriptor) -> Self:
        """Reads the method's option. Raises ValueError if it is missing or invalid."""
        access = method.GetOptions().Extensions[options_pb2.access]
        category = options_pb2.RateCategory.Name(access.rate_category)
        try:
            return cls(
                None if access.has_no_tenant and not access.scope else Scope(access.scope),
                Category(category.removeprefix(_CATEGORY_PREFIX).lower()),
                access.accepts_session_token,
                access.accepts_connection_token,
                access.has_no_tenant,
            )
        except ValueError as error:
            message = f"{method.full_name} needs the option (attachery.v1.access): {error}"
            raise ValueError(message) from error


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC. `path` as in HTTP/2; `access` is None for a method that is open to all callers."""

    name: str
    path: str
    parse: Callable[[bytes], Any]
    streams_requests: bool
    streams_responses: bool
    access: Access | None


def contract_methods(service: ServiceDescriptor) -> list[Method]:
    """The methods of one service. Raises ValueError if one lacks its access rules."""
    return [_method(method, service.full_name, Access.of(method)) for method in service.methods]


def open_methods(service: ServiceDescriptor, name: str | None = None) -> list[Method]:
    """The methods of one of gRPC's own services; `name` replaces that of the service."""
    return [_method(method, name or service.full_name, None) for method in service.methods]


def _method(method: MethodDescriptor, service: str, access: Access | None) -> Method:
    return Method(
        method.name,
        f"/{service}/{method.name}",
        GetMessageClass(method.input_type).FromString,
        method.client_streaming,
        method.server_streaming,
        access,
    )
