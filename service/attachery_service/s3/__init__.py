"""Adapters for S3: signed targets, verified objects, and a probe of the bucket.

**Objects.** The service owns one prefix of one bucket and creates these keys in it. All parts are
ids of the service; no name or text of a caller is part of a key.

    {prefix}/{tenant}/{attachment}/{nonce}   upload targets and sealed copies
    {prefix}/.probe/{nonce}/{n}              a few bytes during a probe of the bucket, then deleted

The nonce has 128 random bits, so a key is never reused and cannot be guessed. No tenant id begins
with a dot, so no tenant's keys collide with the probe's.

**Permissions.** `s3:PutObject`, `s3:GetObject` and `s3:DeleteObject` on the objects under the
prefix, and `s3:ListBucket` on the bucket: without it, object storage answers 403 instead of 404 for
a missing object, which looks like a missing permission. A bucket encrypted with a KMS key also
needs `kms:GenerateDataKey` and `kms:Decrypt`, even for HEAD. `ensure_bucket`, for development only,
needs `s3:CreateBucket`; `attachery check` needs `s3:GetLifecycleConfiguration` and
`s3:GetBucketCORS` to report the rules of `bucket.rules`. `bucket.access_policies` has the
permissions that every bucket needs as an IAM policy. These permissions are also the ceiling of
every signed URL, which grants a part of them.

**Enforced by a target.** A PUT signs the exact length, type and declared digests as headers, and
`If-None-Match: *` for a write-once key; object storage that verifies SigV4 rejects any other
request before it stores a byte. A form (POST) is used if the size is unknown: its policy fixes the
key and the type and bounds the size, but cannot forbid a second upload, so an upload by form is
always sealed by a copy. A request may have one checksum beside Content-MD5, and some servers do not
verify those of a form: the service computes each digest that object storage does not report.

**Consistency.** The package assumes S3's consistency since 2020: a HEAD, GET or copy after a
completed PUT returns its result, and a write becomes visible as a whole. An ETag identifies one
version of the bytes; it counts as their MD5 only where S3 defines it so. Reads after verification
and the sealing copy carry the verified ETag, so a concurrent replacement is detected.

**Two code paths.** The requests of every upload (signing, HEAD, first bytes) bypass the SDK, which
takes five to fifteen times as much CPU time. The SDK does the rest: credentials and their refresh,
discovery of the endpoint, copies, deletions, whole bodies, and every response that is neither a
success nor a 404. The signatures are equal, and are compared for each bucket before use.
`fast=False` leaves all requests to the SDK.

**Headers of uploaders.** A URL fixes the headers that it signs; an uploader may add others, and
some servers store them. `http.headers` lists the headers that the service reads; the content of all
others cannot make a read fail. `second_read` describes an object without HEAD before a failed check
deletes its bytes.

**Limits.** A signed URL is valid for at most seven days, and never longer than the credentials that
signed it. A server-side copy in one request is limited to 5 GiB. Every call has a limit in seconds
(the caller's deadline if that is earlier), which includes the SDK's three attempts and the one
before them that bypasses the SDK. All errors of this package are StorageUnavailable or
StorageMisconfigured, never the SDK's.

**Differences between servers.** `bucket.probing` tests which features the bucket enforces. Object
storage that ignores `If-None-Match` works, with copies. A versioned bucket works, but keeps deleted
bytes as old versions until a lifecycle rule removes them.
"""

from __future__ import annotations
