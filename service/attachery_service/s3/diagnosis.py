"""Explains object storage's refusals to operators, by their S3 error code."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import BotoCoreError, InvalidRegionError, ParamValidationError

from attachery_service.common.errors import network_fault

_KEYS: Final = "ATTACHERY_S3_ACCESS_KEY and the other credentials, or the AWS chain"
_WRONG_SECRET: Final = f"wrong keys: the signature does not fit the access key ({_KEYS})"
_UNKNOWN_KEY: Final = f"wrong keys: there is no such access key ({_KEYS})"
_EXPIRED: Final = f"the temporary credentials are invalid or expired ({_KEYS})"
_SKEWED: Final = "this machine's clock differs too much from object storage's: correct it"
_ELSEWHERE: Final = (
    "the bucket is in another region or at another endpoint:"
    " correct ATTACHERY_S3_REGION or ATTACHERY_S3_ENDPOINT"
)
NO_BUCKET: Final = (
    "there is no such bucket at this endpoint, in this region: create it, or correct"
    " ATTACHERY_S3_BUCKET"
)
_DENIED: Final = "the credentials lack a permission, or a policy refuses them"
_MALFORMED: Final = (
    "object storage rejects the request as malformed: does ATTACHERY_S3_ENDPOINT need"
    " https://, and is ATTACHERY_S3_REGION right?"
)

# By the error code, or by the HTTP status if the response has no body (HEAD).
_DETAILS: Final = {
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "InvalidToken": _EXPIRED,
    "InvalidClientTokenId": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": _SKEWED,
    "RequestExpired": _SKEWED,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "301": _ELSEWHERE,
    "307": _ELSEWHERE,
    "NoSuchBucket": NO_BUCKET,
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "400": _MALFORMED,
    "BadRequest": _MALFORMED,
    "NotImplemented": "object storage has not implemented this",
    "501": "object storage has not implemented this",
}

# A HEAD without permission and one with wrong keys have the same response.
DENIALS: Final = frozenset({"AccessDenied", "403"})


def refusal_detail(code: str) -> str | None:
    """Explains a refusal with this code, and its remedy."""
    return _DETAILS.get(code)


def fault_detail(error: BaseException) -> str:
    """Explains a missing or malformed response."""
    if clause := network_fault(error):
        return f"{clause}: correct ATTACHERY_S3_ENDPOINT or AWS_CA_BUNDLE, or start object storage"
    return (
        "the server is no object storage, or expects another scheme: correct ATTACHERY_S3_ENDPOINT"
    )


def setting_detail(error: BaseException) -> str | None:
    """Explains an error of the SDK's own configuration."""
    match error:
        case ParamValidationError():
            return "ATTACHERY_S3_BUCKET cannot be the name of a bucket"
        case InvalidRegionError():
            return "ATTACHERY_S3_REGION cannot be the name of a region"
        case BotoCoreError():
            return f"the AWS configuration is wrong: correct {_KEYS}"
    return None
