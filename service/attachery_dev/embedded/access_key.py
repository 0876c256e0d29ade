"""Creates an access key for the embedded object storage whose signatures the server verifies.

ministack accepts requests with a wrong signature of its root key. It verifies the keys of IAM
users, so the service uses one of those.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from attachery_dev.embedded.errors import EmbeddedServerError
from attachery_dev.embedded.folder import write_secret

REGION = "us-east-1"
USER_NAME = "attachery"
REQUEST_SECONDS = 10.0
OK = 200
CONFLICT = 409
FORM = "application/x-www-form-urlencoded"

MAY_USE_S3 = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """The credentials that sign a request; the representation omits the secret."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"AccessKey({self.key_id!r})"


def new_root_key() -> AccessKey:
    """Generates a root key for one run of the server, which is neither stored nor guessable."""
    return AccessKey(key_id=f"AKIA{secrets.token_hex(8).upper()}", secret=secrets.token_hex(20))


def read_key(path: Path) -> AccessKey | None:
    """Reads the key from the file; None if it is missing or invalid."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return AccessKey(key_id=str(kept["key_id"]), secret=str(kept["secret"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def keep_key(path: Path, key: AccessKey) -> None:
    """Writes the key to a file that only its owner can read."""
    write_secret(path, json.dumps(asdict(key)))


def create_key(endpoint: str, root: AccessKey) -> AccessKey:
    """Creates a key of a user with all permissions in S3, and no others.

    Raises EmbeddedServerError if the server refuses, unless the user exists already.
    """
    _iam(endpoint, root, "CreateUser", may_answer=(OK, CONFLICT))
    _iam(endpoint, root, "PutUserPolicy", PolicyName="s3", PolicyDocument=MAY_USE_S3)
    answer = _iam(endpoint, root, "CreateAccessKey")
    return AccessKey(
        key_id=_element(answer, "AccessKeyId"),
        secret=_element(answer, "SecretAccessKey"),
    )


def is_accepted(endpoint: str, key: AccessKey) -> bool:
    """Whether object storage lets the key list its buckets."""
    status, _ = _send(endpoint, key, "s3", "GET")
    return status == OK


def _iam(
    endpoint: str,
    root: AccessKey,
    action: str,
    *,
    may_answer: tuple[int, ...] = (OK,),
    **named: str,
) -> str:
    form = urlencode({"Action": action, "Version": "2010-05-08", "UserName": USER_NAME, **named})
    status, answer = _send(endpoint, root, "iam", "POST", form)
    if status not in may_answer:
        raise EmbeddedServerError(f"object storage answered {status} to {action}")
    return answer


def _element(answer: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]+)</{name}>", answer)
    if found is None:
        raise EmbeddedServerError(f"object storage answered without {name}")
    return found[1]


def _send(
    endpoint: str, key: AccessKey, service: str, method: str, form: str = ""
) -> tuple[int, str]:
    """Sends one signed request to the server's root; returns its status and body."""
    # A direct connection to the loopback address: urllib would use the environment's proxy.
    connection = HTTPConnection(urlsplit(endpoint).netloc, timeout=REQUEST_SECONDS)
    try:
        headers = _signed_headers(endpoint, key, service, method, form)
        connection.request(method, "/", form.encode(), headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise EmbeddedServerError(f"object storage does not answer: {error!r}") from error
    finally:
        connection.close()


def _signed_headers(
    endpoint: str, key: AccessKey, service: str, method: str, form: str
) -> dict[str, str]:
    # Imported here: only starting object storage needs it.
    from botocore.auth import S3SigV4Auth, SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    request = AWSRequest(method, f"{endpoint}/", headers={"Content-Type": FORM}, data=form)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials(key.key_id, key.secret), service, REGION).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}
