"""The lower bound of a call: a `grpc.aio` server that echoes the bytes of its request.

Run as `python -m bench.echo [--like-the-service]`; prints its port. Without the switch, asyncio and
grpc have their defaults; with it, the process settings of `attachery serve`.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any, Final

from attachery_service.settings import process

METHOD: Final = "/bench.Echo/Echo"


async def _serve(*, like_the_service: bool) -> None:
    # After the process settings, some of which must be set before the import.
    import grpc  # noqa: PLC0415

    async def echo(message: bytes, _context: Any) -> bytes:
        return message

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    if like_the_service:
        process.settle(process.ProcessSettings())
    print("port", port, flush=True)
    await server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--like-the-service", action="store_true")
    like_the_service: bool = parser.parse_args().like_the_service
    loop_factory = process.prepare() if like_the_service else None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(like_the_service=like_the_service))


if __name__ == "__main__":
    main()
