"""One URL for the raw HEAD, signed by the SDK."""

from __future__ import annotations

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from bench.servers import BUCKET, Store


async def signed_head(store: Store, key: str) -> str:
    """Signs a URL that is valid for an hour."""
    async with get_session().create_client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        config=AioConfig(signature_version="s3v4", s3={"addressing_style": "path"}),
    ) as client:
        return await client.generate_presigned_url(
            "head_object", Params={"Bucket": BUCKET, "Key": key}
        )
