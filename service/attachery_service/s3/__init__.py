"""Everything S3: signed targets, verified objects, and what the bucket can be trusted with.

**Objects.** The service owns one prefix of one bucket and makes these keys there, all of them from
ids of its own; no name or text of a caller is ever part of a key.

    {prefix}/{tenant}/{attachment}/{nonce}   what an upload URL may write, and the sealed copies
    {prefix}/.probe/{nonce}/{n}              a few bytes while the bucket is probed, then deleted

The nonce is 128 random bits, so a key is never used twice and can be guessed by nobody. No tenant's
id begins with a dot, so no tenant can meet the probe.

**Permissions.** On the objects under the prefix `s3:PutObject`, `s3:GetObject`, `s3:DeleteObject`,
and on the bucket `s3:ListBucket`: without it a store answers 403 instead of 404 for a missing
object, and "not uploaded yet" could not be told from "not allowed". A bucket encrypted with a KMS
key also needs `kms:GenerateDataKey` and `kms:Decrypt`, else even HEAD is refused. `ensure_bucket`,
for development only, needs `s3:CreateBucket`; `attachery check`, to tell of the rules in
`bucket_rules`, `s3:GetLifecycleConfiguration` and `s3:GetBucketCORS`. What every bucket needs of
this, `access_policies` has as a policy. A signed URL can do what the service's own credentials can,
cut down to what was signed: these permissions are the ceiling of every URL.

**What a target enforces.** A PUT signs the exact length, type and declared digests as headers, and
`If-None-Match: *` when its key is to be written once; a store that verifies SigV4 refuses anything
else before it stores a byte. A form (POST) is used when the size is not known: its policy fixes
the key and the type and bounds the size, but cannot say "only once", so what comes through a form
is always sealed by a copy. Of checksums, a store takes one beside Content-MD5, and not every store
verifies those of a form: what no store attests, the service reads and hashes itself.

**Consistency.** Assumed is what S3 has given since 2020: a HEAD, GET or copy after a finished PUT
sees that PUT, and a write is seen whole or not at all. An ETag is taken as the name of one version
of the bytes, and for nothing else, except as MD5 where S3 defines it so. Reads after verification
and the sealing copy name the ETag they were verified with, so bytes that change in between are
noticed and never half-verified.

**Two ways.** What every upload needs (signing, HEAD, the first bytes) goes past the SDK, whose way
costs five to fifteen times as much CPU; all else is the SDK's: credentials and their refresh, where
a bucket is, copies, deletions, whole bodies, and every answer of the store but the good one and
"there is none". The signatures are equal, and looked at once for each bucket before they are
used. `fast=False` leaves everything to the SDK.

**Headers of uploaders.** A URL binds what it signs; an uploader may add other headers, and some
stores keep them all. `headers` says which ones are read; what is in the others cannot make a read
fail. `second_look` describes an object without HEAD, before a failed check costs its bytes.

**Limits.** A signed URL lives seven days at most, and never longer than the credentials that
signed it. A server-side copy in one request takes 5 GiB. Every call has a bound in seconds (below
the caller's deadline when that is nearer); the SDK's three attempts happen within it, and before
them the one past the SDK. Errors leave this package as StorageUnavailable or
StorageMisconfigured, never as the SDK's.

**Trust.** Stores differ in what they verify; `probing` finds out by trying. A store that ignores
`If-None-Match` still works, with copies. A versioned bucket works, but keeps what was deleted as
old versions until a lifecycle rule removes them.
"""

from __future__ import annotations
