"""A `grpc.aio` server whose core refuses all calls but one per connection (REFUSED_STREAM).

Run as `python -m bench.refusing`; prints its port. It has the process settings of `attachery
serve`. No refusal is cheaper, so a service that is measured while this server is flooded shows the
CPU time that the flood itself and the cheapest refusals leave.
"""

from __future__ import annotations

import asyncio
from typing import Any

from attachery_service.settings import process

_OPTIONS = (("grpc.max_concurrent_streams", 1),)


async def _serve() -> None:
    # After the process settings, some of which must be set before the import.
    import grpc  # noqa: PLC0415

    async def wait(_message: bytes, _context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    server = grpc.aio.server(options=_OPTIONS)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(wait)
    service = "attachery.v1.UploadSessionService"
    handlers = grpc.method_handlers_generic_handler(service, {"GetUploadSession": handler})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("port", port, flush=True)
    await server.wait_for_termination()


def main() -> None:
    with asyncio.Runner(loop_factory=process.prepare()) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
