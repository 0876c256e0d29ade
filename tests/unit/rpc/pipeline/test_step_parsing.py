"""Step `parsing`."""

from __future__ import annotations

from attachery.v1.upload_sessions_pb2 import GetUploadSessionRequest
from attachery_service.domain.errors import InvalidRequest, MalformedRequest
from attachery_service.rpc.pipeline.parsing import Parsing
from support.pipeline_calls import call


async def test_each_call_gets_its_message_or_its_error() -> None:
    message = GetUploadSessionRequest(tenant_id="acme")
    valid = call(request=message.SerializeToString())
    malformed = call(request=b"\xff")
    repeating = call(request=message.SerializeToString(), repeated={"x-request-id"})
    await Parsing(GetUploadSessionRequest.FromString).process([malformed, repeating, valid])
    assert (valid.request, valid.error) == (message, None)
    assert isinstance(malformed.error, MalformedRequest)
    assert isinstance(repeating.error, InvalidRequest)
    assert repeating.error.reason == "INVALID_REQUEST_ID"
