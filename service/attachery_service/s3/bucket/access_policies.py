"""Who may do what below the prefix, in the language of IAM policies, for an operator to install.

Derived from what this package calls; the probe finds out whether it is enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from attachery_service.s3.client import StorageOptions

Policy = dict[str, Any]
Statement = dict[str, Any]

_VERSION: Final = "2012-10-17"
_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
# An account of twelve digits is one of AWS; other stores name theirs otherwise, or not at all.
_AWS_PRINCIPAL: Final = re.compile(r"arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:.+")
_SHARING_ACLS: Final = ("public-read", "public-read-write", "authenticated-read", "aws-exec-read")


def service_policy(options: StorageOptions) -> Policy:
    """The least that the service's credentials must be allowed.

    Listing is not bound to the prefix by a condition: a store asks for the same permission before
    it answers 404 for a missing object, where no prefix is given that a condition could be about.
    """
    return _policy(
        {
            "Sid": "Objects",
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"],
            "Resource": _objects(options),
        },
        {
            "Sid": "MissingObjects",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": _bucket(options),
        },
        {
            "Sid": "Check",
            "Effect": "Allow",
            "Action": ["s3:GetLifecycleConfiguration", "s3:GetBucketCORS"],
            "Resource": _bucket(options),
        },
    )


def guard_policy(options: StorageOptions, principals: Sequence[str]) -> Policy:
    """What the bucket refuses whoever asks, whatever else they are allowed; `principals`: ARNs of
    all who may touch the objects, where those are to be bound too.

    It does not demand `If-None-Match` of a PUT: that is bound by each URL's signature, and neither
    a form nor a copy could meet the demand.
    """
    everybody = {"Effect": "Deny", "Principal": "*", "Resource": _objects(options)}
    statements: list[Statement] = [
        {**everybody, "Sid": "NoAcls", "Action": ["s3:PutObjectAcl", "s3:PutObjectVersionAcl"]},
        {
            **everybody,
            "Sid": "NoSharingAcls",
            "Action": "s3:PutObject",
            "Condition": {"StringEquals": {"s3:x-amz-acl": list(_SHARING_ACLS)}},
        },
    ]
    if uses_tls(options):
        statements.append({
            **everybody,
            "Sid": "OnlyTls",
            "Action": "s3:*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        })  # fmt: skip
    if principals:
        statements.append({
            "Sid": "NobodyElse",
            "Effect": "Deny",
            **_all_but(principals),
            "Action": "s3:*",
            "Resource": _objects(options),
        })  # fmt: skip
    return _policy(*statements)


def uses_tls(options: StorageOptions) -> bool:
    """Whether everybody reaches the store by TLS, as far as the settings tell."""
    urls = (options.endpoint, options.public_endpoint)
    return all(url is None or urlsplit(url).scheme == "https" for url in urls)


def _all_but(principals: Sequence[str]) -> Statement:
    """NotPrincipal does not know the sessions of a role, and only AWS knows the condition."""
    if all(_AWS_PRINCIPAL.fullmatch(principal) for principal in principals):
        return {
            "Principal": "*",
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": list(principals)}},
        }
    return {"NotPrincipal": {"AWS": list(principals)}}


def _policy(*statements: Statement) -> Policy:
    return {"Version": _VERSION, "Statement": list(statements)}


def _objects(options: StorageOptions) -> str:
    return f"{_bucket(options)}/{options.key('*')}"


def _bucket(options: StorageOptions) -> str:
    known = (name for start, name in _PARTITIONS.items() if options.region.startswith(start))
    return f"arn:{next(known, 'aws')}:s3:::{options.bucket}"
