"""Retries and load balancing of calls: gRPC's service config and channel options.

No other part of the client retries a call. The channel does it below the stubs, with the same
message and metadata, so every attempt of a mutating call carries the same request id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

ChannelOption = tuple[str, Any]

# The C core limits a service config to 5 attempts.
MAX_ATTEMPTS = 4

SERVICE_CONFIG: dict[str, object] = {
    # With a `dns:///` target calls rotate over all servers and leave a draining one.
    "loadBalancingConfig": [{"round_robin": {}}],
    # The name of a server as a whole. A server without a health service counts as healthy, but one
    # with a health service that lacks the name counts as dead; all of them have the name "".
    "healthCheckConfig": {"serviceName": ""},
    # Retries stop while too many calls fail: below half of the tokens. The callers of a process
    # share them, and a server that stops refuses all of their calls at once.
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.5},
    "methodConfig": [
        {
            "name": [
                {"service": "attachery.v1.UploadSessionService"},
                {"service": "attachery.v1.AttachmentService"},
                {"service": "attachery.v1.AdminService"},
                {"service": "attachery.v1.AccessService"},
            ],
            # Only UNAVAILABLE guarantees that the call had no effect; other codes would recur.
            "retryPolicy": {
                "maxAttempts": MAX_ATTEMPTS,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

_CHANNEL_OPTIONS: dict[str, Any] = {
    "grpc.service_config": json.dumps(SERVICE_CONFIG),
    # Servers refuse pings closer together than 10 s; idle routers forget a connection in minutes.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
    # After a restart of the server: sooner than the 1 s gRPC starts with, to 5 s at most.
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5_000,
    # 1,000 resolved attachments with all the metadata allowed are far above gRPC's 4 MiB.
    "grpc.max_receive_message_length": 64 * 1024 * 1024,
}


def channel_options(own: Sequence[ChannelOption] = ()) -> list[ChannelOption]:
    """The options of a channel; `own` ones go before the defaults of the same name."""
    return list({**_CHANNEL_OPTIONS, **dict(own)}.items())
