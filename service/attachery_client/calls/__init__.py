"""The RPCs of Attachery as methods: one for each, named like it."""

from __future__ import annotations

from attachery_client.calls.access import AccessCalls
from attachery_client.calls.admin import AdminCalls
from attachery_client.calls.attachments import AttachmentCalls
from attachery_client.calls.upload_sessions import UploadSessionCalls


class Calls(UploadSessionCalls, AttachmentCalls, AdminCalls, AccessCalls):
    """The plain RPCs.

    Every method

    - returns the response message of its RPC, documented in `attachery.v1` (typed stubs), so a
      field that a newer service adds is available as soon as the stubs are updated;
    - raises an AttacheryError (attachery_client.errors) for every failure, never an exception of
      gRPC, and ValueError for arguments that no message can hold;
    - takes a `timeout` in seconds, over all attempts; None is the client's default;
    - takes the `tenant_id`, which may be left out if the credential covers exactly one tenant;
    - sends a `request_id` if it changes something: the given one, or a new one. A repeated call
      with the same id and arguments within 24 hours takes effect once and has the same outcome.
    """
