"""IAM policies for the objects below the prefix, for an operator to install.

Derived from the requests of this package; the probe shows whether they suffice.
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
# A 12-digit account id belongs to AWS; other object storage uses other ids, or none.
_AWS_PRINCIPAL: Final = re.compile(r"arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:.+")
_SHARING_ACLS: Final = ("public-read", "public-read-write", "authenticated-read", "aws-exec-read")


def service_policy(options: StorageOptions) -> Policy:
    """Builds the least policy that the service's credentials need.

    Listing is not restricted to the prefix by a condition: object storage checks the same
    permission before it answers 404 for a missing object, and that request has no prefix to
    compare.
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
    """Builds the bucket policy that denies unwanted requests to every identity.

    `principals`: ARNs of all identities that may use the objects; empty: no such restriction. The
    policy does not require `If-None-Match` of a PUT: the signature of each URL does, and neither a
    form nor a copy could send the header.
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
    """Whether all clients reach object storage over TLS, according to the settings."""
    urls = (options.endpoint, options.public_endpoint)
    return all(url is None or urlsplit(url).scheme == "https" for url in urls)


def _all_but(principals: Sequence[str]) -> Statement:
    """NotPrincipal does not match the sessions of a role, and only AWS has the condition key."""
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
