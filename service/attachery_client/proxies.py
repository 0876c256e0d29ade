"""The HTTP proxy for a request, according to the environment.

The rules are curl's (https://curl.se/libcurl/c/CURLOPT_PROXY.html and CURLOPT_NOPROXY.html):

- `http_proxy` for http URLs, `https_proxy` for https URLs, else `all_proxy`. A lower-case name goes
  before its upper-case one; an empty value is no proxy.
- `no_proxy` lists hosts, separated by commas or spaces, that are reached directly: a name with all
  names below it, an IP address, or a network such as `10.0.0.0/8`; `*` is every host.

Beyond curl, as in Go's and Python's HTTP clients, a `no_proxy` entry may name a port (`store:9000`)
or begin with `*.`, and `HTTP_PROXY` in upper case is used too, except in a CGI process, where any
caller can set it with a `Proxy` header (https://httpoxy.org, CVE-2016-5385).

aiohttp's own `trust_env` is not used: it does not support networks, and adds the password that
`~/.netrc` has for the host, which invalidates a signed request.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

_PORTS = {"http": 80, "https": 443}
_NO_HEADERS: Mapping[str, str] = {}


class UnusableProxy(ValueError):
    """The environment names a proxy that cannot be used; the text has no credentials."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """`address` is scheme, host and port; `url` also has the credentials, if there are any."""

    address: str
    url: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers for the proxy: Basic authentication (RFC 7617, in UTF-8)."""
        parts = urlsplit(self.url)
        if parts.username is None:
            return {}
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy for requests to this http or https URL; None for a direct connection.

    Raises UnusableProxy if it is no http or https URL: SOCKS is not supported.
    """
    target = urlsplit(url)
    variable = _proxy_variable(target.scheme, environ)
    if variable is None or _is_excluded(target, _value("no_proxy", environ) or ""):
        return None
    return _parse(variable, environ[variable])


def aiohttp_options(url: str, headers: Mapping[str, str] = _NO_HEADERS) -> dict[str, Any]:
    """Returns arguments for a request of aiohttp with these headers.

    `headers`, and for a proxied request `proxy` and `proxy_headers`. Raises UnusableProxy.
    """
    proxy = proxy_for(url)
    if proxy is None:
        return {"headers": headers}
    if urlsplit(url).scheme == "https":  # the credentials are for CONNECT, not for the server
        return {"headers": headers, "proxy": proxy.address, "proxy_headers": proxy.headers}
    return {"headers": {**headers, **proxy.headers}, "proxy": proxy.address}


def _proxy_variable(scheme: str, environ: Mapping[str, str]) -> str | None:
    """Returns the name of the variable that contains the proxy; None if there is no proxy."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        variable = _present(name, environ)
        if variable is not None:
            return variable if environ[variable].strip() else None
    return None


def _present(name: str, environ: Mapping[str, str]) -> str | None:
    if name in environ:
        return name
    is_spoofable = name == "http_proxy" and "REQUEST_METHOD" in environ
    return name.upper() if name.upper() in environ and not is_spoofable else None


def _value(name: str, environ: Mapping[str, str]) -> str | None:
    variable = _present(name, environ)
    return None if variable is None else environ[variable]


def _parse(variable: str, text: str) -> Proxy:
    text = text.strip()
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UnusableProxy(f"{variable} is not a URL") from None
    if parts.scheme not in _PORTS:
        raise UnusableProxy(f"{variable} is a {parts.scheme} proxy: use an http or https one")
    if not host:
        raise UnusableProxy(f"{variable} names no host")
    bracketed = f"[{host}]" if ":" in host else host
    address = f"{parts.scheme}://{bracketed}:{port or _PORTS[parts.scheme]}"
    credentials, at, _ = parts.netloc.rpartition("@")
    return Proxy(address, address.replace("://", f"://{credentials}{at}", 1))


def _is_excluded(target: SplitResult, no_proxy: str) -> bool:
    host = (target.hostname or "").rstrip(".")
    port = target.port or _PORTS.get(target.scheme)
    return any(_matches(entry, host, port) for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    pattern, entry_port = _split_port(entry.lower())
    if entry_port is not None and entry_port != port:
        return False
    with suppress(ValueError):  # not an address: compared as names
        return ip_address(host) in ip_network(pattern.strip("[]"), strict=False)
    name = pattern.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    """Splits off the port.

    An IPv6 address with a port is in brackets; without one, it has several colons.
    """
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
        return name, int(port)
    return entry, None
