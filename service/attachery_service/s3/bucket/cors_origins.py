"""Origins of a CORS rule: the text that browsers and webviews send in their `Origin` header.

An origin is `scheme://host[:port]`, in lower case, in ASCII, without a path, and without the port
that is the scheme's default (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin).
Object storage compares it as text, so a rule with any other form never matches. Apps and browser
extensions have schemes of their own (`capacitor://localhost`, `chrome-extension://…`). Pages that
have no origin, such as files and sandboxed frames, send `null`.

An S3 rule may have one `*`, which matches any text (AllowedOrigin in the API's CORSRule). It is
accepted as part of the first label of a host below a domain, and as the port.
"""

from __future__ import annotations

import re
from typing import Final

NULL: Final = "null"

_USUAL_PORTS: Final = {"http": "80", "https": "443"}
_PARTS: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._*-]+)(?::([0-9]+|\*))?"
)
_WILDCARD_HOST: Final = re.compile(r"[a-z0-9-]*\*[a-z0-9-]*(\.[a-z0-9_-]+){2,}")
_MAX_PORT: Final = 65_535


def parse_origin(text: str) -> str:
    """Normalizes an origin that a browser can send, or a valid pattern.

    Raises ValueError, whose text states the rule.
    """
    if text == NULL:
        return text
    for problem in (_text_problem(text), _parts_problem(text)):
        if problem:
            raise ValueError(f"{text!r} {problem}")
    return text


def _text_problem(text: str) -> str:
    if "*" in text and (text == "*" or text.count("*") > 1):
        return "must have one * at most, within a host: https://*.app.example"
    if not text.isascii():
        return "must be ASCII: browsers send international names as xn--…"
    if text != text.lower():
        return f"must be in lower case, as browsers send it: {text.lower()}"
    return _form_problem(*text.partition("://"))


def _form_problem(scheme: str, separator: str, rest: str) -> str:
    if scheme == "file":
        return f"must be {NULL}: pages of files have no other origin"
    if not separator:
        return f"must be with its scheme: https://{scheme.lstrip('/')}"
    host, *path = re.split(r"[/?#]", rest, maxsplit=1)
    if path:
        return f"must be without a path, or a slash at its end: {scheme}://{host}"
    return ""


def _parts_problem(text: str) -> str:
    parts = _PARTS.fullmatch(text)
    if parts is None:
        return "must be SCHEME://HOST[:PORT]"
    scheme, host, port = parts.groups()
    if port and port == _USUAL_PORTS.get(scheme):
        return f"must be without the usual port of {scheme}: {text.removesuffix(f':{port}')}"
    if port and port != "*" and not (port == str(int(port)) and 0 < int(port) <= _MAX_PORT):
        return f"must be with a port of 1 to {_MAX_PORT}, without leading zeros"
    if "*" in host and not _WILDCARD_HOST.fullmatch(host):
        return "must have its * in the first label, above a domain: https://*.app.example"
    return ""
