"""The HTTP proxy between the service and object storage.

The service reaches object storage through the AWS SDK, directly for HEADs and first bytes, and in
the probe. All three follow the rule of `attachery_client.proxies`. The SDK's own rule differs: it
supports neither `all_proxy` nor networks in `no_proxy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attachery_client.proxies import UnusableProxy, proxy_for
from attachery_service.domain.errors import StorageMisconfigured

if TYPE_CHECKING:
    from attachery_service.s3.client import StorageOptions

# Of AWS's partitions by the beginning of a region's name; all others have the first one's.
_DNS_SUFFIX: Final = "amazonaws.com"
_DNS_SUFFIXES: Final = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}


def sdk_proxies(endpoint: str | None, options: StorageOptions) -> dict[str, str]:
    """The SDK's `proxies` for this endpoint; None is AWS. Empty for a direct connection.

    Raises StorageMisconfigured if the environment names a proxy that cannot be used.
    """
    try:
        proxy = proxy_for(endpoint or _aws_url(options))
    except UnusableProxy as error:
        raise StorageMisconfigured(detail=str(error)) from error
    return {} if proxy is None else {"http": proxy.url, "https": proxy.url}


def _aws_url(options: StorageOptions) -> str:
    suffixes = (s for start, s in _DNS_SUFFIXES.items() if options.region.startswith(start))
    return f"https://{options.bucket}.s3.{options.region}.{next(suffixes, _DNS_SUFFIX)}"
