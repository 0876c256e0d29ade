"""Policies: the limits and lifetimes of sessions by purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from attachery_service.domain.content_types import essence

DEFAULT_PURPOSE = "default"

# The limit of the e-mail API this service was first drawn from: 150 MiB.
DEFAULT_MAX_SIZE = 157_286_400


class Sniffing(StrEnum):
    """The use of the type that is detected in the first bytes.

    OFF: no detection, which saves one read of object storage. REPORT: shown in the checks. ENFORCE:
    a contradiction of the declared type fails the upload.
    """

    OFF = "off"
    REPORT = "report"
    ENFORCE = "enforce"


class UndeclaredSize(StrEnum):
    """The target of an upload whose size is not declared.

    FORM: object storage accepts the minimum to the maximum only. PUT: it accepts any size, and
    Complete verifies it.
    """

    FORM = "form"
    PUT = "put"

    def takes_form(self, size: int | None) -> bool:
        """Whether the target of an upload with this declared size, or none, is a form."""
        return size is None and self is UndeclaredSize.FORM


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route for messages with up to `max_size` bytes of files, as Base64 if `base64`.

    Without `max_size`, each file has its own upload, and only the limit of the policy applies.
    """

    name: str
    max_size: int | None = None
    base64: bool = False

    def accepts(self, sizes: Sequence[int], *, base64: bool) -> bool:
        """Whether files of these sizes fit into one message of the route."""
        total = message_size(sizes, base64=base64 or self.base64)
        return self.max_size is None or total <= self.max_size


def message_size(sizes: Iterable[int], *, base64: bool) -> int:
    """The size of files in a message, in bytes; Base64 takes 4 for every 3, with padding."""
    return sum((size + 2) // 3 * 4 if base64 else size for size in sizes)


# Of the same API, whose limits are on whole requests: 3 MB for JSON, and 25 MB for forms. The rest
# is for the message around the files.
DEFAULT_ROUTES = (
    Route(name="json", max_size=2_800_000, base64=True),
    Route(name="multipart", max_size=24_000_000),
    Route(name="upload_session"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits and options of the sessions of one purpose. Sizes in bytes.

    `allowed_content_types`: `image/png`, or `image/*` for all image types; empty for any.
    `max_attachments`: the attachments of this purpose that one tenant may have, including pending
    sessions; None without a limit. `allow_empty`: an object of 0 bytes is a valid upload.
    `terminal_on_mismatch` False: after a mismatch, the session stays PENDING, and its target can
    replace the bytes; an object above `max_size` is final nevertheless.
    `delete_when_consumed`: releasing the last hold as consumed deletes the bytes. `routes`:
    recommended ways for a file to reach the system that uses this service, the smallest first.
    """

    max_size: int = DEFAULT_MAX_SIZE
    max_attachments: int | None = None
    allow_empty: bool = False
    size_required: bool = False
    undeclared_size: UndeclaredSize = UndeclaredSize.FORM
    checksum_required: bool = False
    allowed_content_types: tuple[str, ...] = ()
    sniffing: Sniffing = Sniffing.REPORT
    default_ttl: timedelta = timedelta(hours=1)
    min_ttl: timedelta = timedelta(minutes=1)
    max_ttl: timedelta = timedelta(hours=24)
    object_retention: timedelta = timedelta(hours=1)
    metadata_retention: timedelta = timedelta(days=60)
    max_object_retention: timedelta = timedelta(days=30)
    max_metadata_retention: timedelta = timedelta(days=365)
    terminal_on_mismatch: bool = True
    delete_when_consumed: bool = False
    routes: tuple[Route, ...] = DEFAULT_ROUTES

    @property
    def accepts_any_size(self) -> bool:
        """Whether object storage does not limit the size of some uploads."""
        return self.undeclared_size is UndeclaredSize.PUT and not self.size_required

    @property
    def min_size(self) -> int:
        """The smallest upload, in bytes."""
        return 0 if self.allow_empty else 1

    def allows(self, content_type: str) -> bool:
        """Whether files of this type are accepted, with any parameters."""
        kind = essence(content_type)
        family = f"{kind.partition('/')[0]}/*"
        return not self.allowed_content_types or bool(
            {kind, family} & {allowed.lower() for allowed in self.allowed_content_types}
        )

    def route_limit(self, route: Route) -> int:
        """The largest single file that may take this route, in bytes."""
        if route.max_size is None:
            return self.max_size
        return min(route.max_size // 4 * 3 if route.base64 else route.max_size, self.max_size)

    def route_of(self, sizes: Sequence[int], *, base64: bool) -> Route | None:
        """Returns the first route for a message with files of these sizes, or None."""
        if max(sizes) > self.max_size:
            return None
        return next((route for route in self.routes if route.accepts(sizes, base64=base64)), None)
