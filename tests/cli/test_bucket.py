"""`attachery bucket setup`: rules beside those of others, and minimal policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from attachery.v1.resources_pb2 import UploadTarget
from attachery_service.s3.bucket.access_policies import guard_policy, service_policy
from attachery_service.s3.bucket.probing import Permission, probe
from attachery_service.s3.client import StorageOptions, open_storage
from ceph.ceph_server import CephServer
from support.bad_stores import Exchange, lying_store
from support.commands import run
from support.process_fixtures import RunHere, ServeSettings
from support.service_fixtures import MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

ORIGIN = "https://app.example"
OURS = {"attachery-unfinished-uploads-attachery", "attachery-old-versions-attachery"}
SETUP = ("bucket", "setup")


def found(out: str) -> dict[str, str]:
    return {line[:18].strip(): line[18:] for line in out.splitlines() if not line[:1].isspace()}


def policies(out: str) -> list[Any]:
    """Returns both printed policies, in their order."""
    parts = out.split("Policy for ")[1:]
    return [json.loads(part[part.index("\n") :]) for part in parts]


async def lifecycle(s3: S3Client, bucket: str) -> dict[str, Any]:
    answer = await s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    return {rule.get("ID", ""): rule for rule in answer["Rules"]}


async def test_rules_are_written_once_beside_those_of_others(
    run_here: RunHere, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    await raw_s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "theirs",
                    "Filter": {"Prefix": "logs/"},
                    "Status": "Enabled",
                    "Expiration": {"Days": 3},
                }
            ]
        },
    )
    await raw_s3.put_bucket_cors(
        Bucket=bucket,
        CORSConfiguration={
            "CORSRules": [
                {"ID": "theirs", "AllowedMethods": ["GET"], "AllowedOrigins": ["https://x.example"]}
            ]
        },
    )
    asked = (*SETUP, "--cors-origin", ORIGIN, "--cors-origin", "http://localhost:3000")

    rehearsed = await run_here(*asked, "--dry-run", settings=serve_settings)

    said = found(rehearsed.out)
    assert (rehearsed.code, rehearsed.err) == (0, "")
    assert said["lifecycle"] == said["cors"] == "would be written"
    assert set(await lifecycle(raw_s3, bucket)) == {"theirs"}

    first = await run_here(*asked, settings=serve_settings)

    said = found(first.out)
    assert (first.code, first.err) == (0, "")
    assert said["lifecycle"] == said["cors"] == "written"
    rules = await lifecycle(raw_s3, bucket)
    assert set(rules) == {"theirs"} | OURS
    assert rules["theirs"]["Expiration"] == {"Days": 3}
    for name in OURS:
        assert rules[name]["Filter"] == {"Prefix": "attachery/"}
        assert "Days" not in rules[name].get("Expiration", {})
    cors = (await raw_s3.get_bucket_cors(Bucket=bucket))["CORSRules"]
    assert {rule.get("ID", "") for rule in cors} == {"theirs", "attachery-browsers-attachery"}

    again = await run_here(*asked, settings=serve_settings)

    said = found(again.out)
    assert said["lifecycle"] == said["cors"] == "up to date, nothing written"
    assert await lifecycle(raw_s3, bucket) == rules


async def test_two_services_share_a_bucket(
    run_here: RunHere, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    for prefix in ("one", "two/of it"):
        done = await run_here(*SETUP, settings={**serve_settings, "s3_prefix": prefix})
        assert done.code == 0
    rules = await lifecycle(raw_s3, bucket)
    assert {rule["Filter"]["Prefix"] for rule in rules.values()} == {"one/", "two/of it/"}
    assert len(rules) == 4


async def test_without_origins_there_is_no_cors_rule(
    run_here: RunHere, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    done = await run_here(*SETUP, settings=serve_settings)
    assert found(done.out)["cors"].startswith("unchanged")
    with pytest.raises(raw_s3.exceptions.ClientError, match="NoSuchCORSConfiguration"):
        await raw_s3.get_bucket_cors(Bucket=bucket)


async def test_a_browser_may_send_all_that_a_target_demands(
    run_here: RunHere, serve_settings: ServeSettings, make_service: MakeService
) -> None:
    service = await make_service()
    await run_here(*SETUP, "--cors-origin", ORIGIN, settings=serve_settings)
    started = await service.start(
        size_bytes=6, checksums={"md5": "0" * 32, "crc32c": "00000000", "sha256": "0" * 64}
    )
    target = started.target
    asks = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": target.method,
        "Access-Control-Request-Headers": ",".join(sorted(h.lower() for h in target.headers)),
    }
    async with service.http.options(target.url, headers=asks) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    elsewhere = {**asks, "Origin": "https://evil.example"}
    async with service.http.options(target.url, headers=elsewhere) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers

    form = (await service.start()).target
    async with service.http.post(form.url, headers={"Origin": ORIGIN}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Expose-Headers"] == "ETag"


async def test_the_guard_policy_leaves_the_service_alone_and_refuses_acls(
    run_here: RunHere, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    done = await run_here(*SETUP, settings=serve_settings)
    _, guard = policies(done.out)
    await raw_s3.put_object(Bucket=bucket, Key="attachery/a", Body=b"x")
    await raw_s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(guard))

    async with open_storage(options_of(serve_settings)) as storage:
        assert (await probe(storage)).permitted == set(Permission)
    for acl in ("private", "public-read"):
        with pytest.raises(raw_s3.exceptions.ClientError, match=r"AccessDenied|NotSupported"):
            await raw_s3.put_object_acl(Bucket=bucket, Key="attachery/a", ACL=acl)


async def test_the_bucket_policy_denies_unnamed_principals(
    request: pytest.FixtureRequest, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    if request.config.getoption("--store") != "ceph":
        pytest.skip("needs a store that judges the owner of a bucket by its policy")
    policy = guard_policy(options_of(serve_settings), ["arn:aws:iam:::user/attachery"])
    keys = ("attachery/open", "other/open")
    for key in keys:
        await raw_s3.put_object(Bucket=bucket, Key=key, Body=b"x", ACL="public-read")
    await raw_s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

    async with open_storage(options_of(serve_settings)) as storage:
        assert (await probe(storage)).permitted == set(Permission)
    answers = []
    async with aiohttp.ClientSession() as http:
        for key in keys:
            url = f"{serve_settings['s3_endpoint']}/{bucket}/{key}"
            async with http.get(url) as answer:
                answers.append(answer.status)
    assert answers == [403, 200]


async def test_the_service_policy_is_sufficient_and_minimal(
    run_here: RunHere,
    serve_settings: ServeSettings,
    raw_s3: S3Client,
    object_store: StoreUnderTest,
) -> None:
    if not isinstance(object_store, CephServer):
        pytest.skip("needs a store with a user who does not own the bucket")
    bucket = str(serve_settings["s3_bucket"])
    done = await run_here(*SETUP, "--cors-origin", ORIGIN, settings=serve_settings)
    allowed, _ = policies(done.out)
    for statement in allowed["Statement"]:
        statement["Principal"] = {"AWS": ["arn:aws:iam:::user/guest"]}
    await raw_s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(allowed))
    guest = {**serve_settings, "s3_access_key": object_store.guest_access_key}

    checked = await run_here("check", settings=guest)
    refused = await run_here(*SETUP, "--cors-origin", "https://b.example", settings=guest)

    said = found(checked.out)
    assert said["permissions"] == "copy, delete, get, head, list, put"
    assert (said["lifecycle"], said["cors"]) == ("ok", f"ok for {ORIGIN}")
    assert "note" not in said
    assert refused.code == 1
    assert "object storage refuses cors (AccessDenied)" in refused.err
    elsewhere = await run_here("check", settings={**guest, "s3_prefix": "other"})
    assert "without s3:PutObject below the prefix" in elsewhere.err


def options_of(settings: ServeSettings) -> StorageOptions:
    return StorageOptions(
        bucket=str(settings["s3_bucket"]),
        prefix="attachery",
        endpoint=str(settings["s3_endpoint"]),
        access_key=str(settings["s3_access_key"]),
        secret_key=str(settings["s3_secret_key"]),
    )


def test_policies_cover_the_prefix_only() -> None:
    options = StorageOptions(bucket="b", prefix="p", region="cn-north-1")
    granted = {
        action: statement["Resource"]
        for statement in service_policy(options)["Statement"]
        for action in [statement["Action"]]
        if isinstance(action, str)
    }
    assert granted == {"s3:ListBucket": "arn:aws-cn:s3:::b"}
    objects, *_ = service_policy(options)["Statement"]
    assert objects["Resource"] == "arn:aws-cn:s3:::b/p/*"
    refused = guard_policy(options, ["arn:aws-cn:iam::123456789012:role/R"])["Statement"]
    assert {statement["Effect"] for statement in refused} == {"Deny"}
    assert {statement["Resource"] for statement in refused} == {"arn:aws-cn:s3:::b/p/*"}
    named = {statement["Sid"]: statement for statement in refused}
    assert named["NobodyElse"]["Condition"] == {
        "ArnNotLike": {"aws:PrincipalArn": ["arn:aws-cn:iam::123456789012:role/R"]}
    }
    assert named["OnlyTls"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


async def test_missing_features_are_reported_and_the_rest_continues(
    run_here: RunHere, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    def without_lifecycle(exchange: Exchange) -> Exchange:
        asked = "lifecycle" in exchange.query
        return exchange.refusing(501, "NotImplemented") if asked else exchange

    async with lying_store(str(serve_settings["s3_endpoint"]), without_lifecycle) as endpoint:
        settings = {**serve_settings, "s3_endpoint": endpoint}
        done = await run_here(*SETUP, "--cors-origin", ORIGIN, settings=settings)
        assert (done.code, done.err) == (0, "")
        assert found(done.out)["lifecycle"] == "not implemented by object storage"
        assert found(done.out)["cors"] == "written"
        checked = await run_here("check", settings=settings)
    assert checked.code == 0
    assert found(checked.out)["lifecycle"] == "not implemented by object storage"
    assert found(checked.out)["cors"] == f"ok for {ORIGIN}"


async def test_a_refusal_of_storage_is_one_line_and_a_failure(
    run_here: RunHere, serve_settings: ServeSettings
) -> None:
    def to_readers_only(exchange: Exchange) -> Exchange:
        writes = exchange.method == "PUT" and exchange.query in ("lifecycle", "cors")
        return exchange.refusing(403, "AccessDenied") if writes else exchange

    async with lying_store(str(serve_settings["s3_endpoint"]), to_readers_only) as endpoint:
        settings = {**serve_settings, "s3_endpoint": endpoint}
        done = await run_here(*SETUP, settings=settings)
    (line,) = done.err.splitlines()
    assert done.code == 1
    assert line.startswith("attachery: object storage refuses lifecycle (AccessDenied)")
    assert "s3:PutLifecycleConfiguration" in line
    assert len(policies(done.out)) == 2


async def test_rules_that_the_store_drops_are_not_called_written(
    run_here: RunHere, serve_settings: ServeSettings
) -> None:
    def forgets(exchange: Exchange) -> Exchange:
        reads = exchange.method == "GET" and exchange.query == "lifecycle"
        return exchange.refusing(404, "NoSuchLifecycleConfiguration") if reads else exchange

    async with lying_store(str(serve_settings["s3_endpoint"]), forgets) as endpoint:
        done = await run_here(*SETUP, settings={**serve_settings, "s3_endpoint": endpoint})
    assert done.code == 0
    assert found(done.out)["lifecycle"] == "accepted by object storage, which does not keep it"


async def test_a_missing_bucket_is_reported_in_one_line(
    run_here: RunHere, serve_settings: ServeSettings
) -> None:
    done = await run_here(*SETUP, settings={**serve_settings, "s3_bucket": "no-such-bucket"})
    assert "no such bucket" in done.refused_with(1)


async def test_check_reports_missing_rules_and_the_remedy(
    run_here: RunHere, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    before = await run_here("check", settings=serve_settings)
    assert before.code == 0
    assert "run 'attachery bucket setup'" in found(before.out)["lifecycle"]
    assert "'attachery bucket setup --cors-origin ORIGIN'" in found(before.out)["cors"]

    await run_here(*SETUP, "--cors-origin", ORIGIN, settings=serve_settings)
    after = await run_here("check", settings=serve_settings)
    assert found(after.out)["lifecycle"] == "ok"
    assert found(after.out)["cors"] == f"ok for {ORIGIN}"
    assert "warning" not in found(after.out)

    rules = (await raw_s3.get_bucket_lifecycle_configuration(Bucket=bucket))["Rules"]
    rules[0]["Filter"] = {"Prefix": "other/"}
    await raw_s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules}
    )
    changed = await run_here("check", settings=serve_settings)
    assert found(changed.out)["lifecycle"].startswith("missing")


async def test_check_names_the_purposes_whose_uploads_object_storage_does_not_limit(
    run_here: RunHere, serve_settings: ServeSettings, tmp_path: Path
) -> None:
    purposes = tmp_path / "purposes.toml"
    settings = {**serve_settings, "purposes": str(purposes)}
    for option, named in (
        ("undeclared_size = 'form'", False),
        ("undeclared_size = 'put'", True),
        ("undeclared_size = 'put'\nsize_required = true", False),
    ):
        purposes.write_text(f"[scan]\n{option}\n", encoding="utf-8")
        done = await run_here("check", settings=settings)
        assert done.code == 0
        note = "does not limit uploads of undeclared size (undeclared_size = put): purpose scan"
        assert (note in done.out) == named
    purposes.write_text("[scan]\nundeclared_size = 'stream'\n", encoding="utf-8")
    assert "undeclared_size" in (await run_here("check", settings=settings)).refused_with(2)


async def test_check_warns_of_rules_that_would_delete_attachments(
    run_here: RunHere, serve_settings: ServeSettings, raw_s3: S3Client, bucket: str
) -> None:
    rules: dict[str, tuple[dict[str, Any], int]] = {
        "all": ({"Prefix": ""}, 30),
        "a tenant": ({"Prefix": "attachery/acme/"}, 30),
        "late": ({"Prefix": "attachery/"}, 366),
        "elsewhere": ({"Prefix": "logs/"}, 30),
        "tagged": ({"Tag": {"Key": "k", "Value": "v"}}, 30),
    }
    theirs: Any = [
        {"ID": name, "Status": "Enabled", "Filter": chosen, "Expiration": {"Days": days}}
        for name, (chosen, days) in rules.items()
    ]
    await raw_s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": theirs}
    )

    done = await run_here("check", settings=serve_settings)

    assert done.code == 0
    warned = {line[18:] for line in done.out.splitlines() if line.startswith("warning")}
    assert warned == {
        f"the lifecycle rule {name!r} deletes objects after 30 days, attachments may live for 365"
        for name in ("all", "a tenant")
    }


@pytest.mark.sample(6)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("*", "within a host: https://*.app.example"),
        ("https://*", "first label"),
        ("https://*.com", "first label"),
        ("https://app.*.example", "first label"),
        ("https://app*", "first label"),
        ("https://*.*.example.com", "one *"),
        ("https://*.example.com:*", "one *"),
        ("https://app.example/", "without a path, or a slash at its end: https://app.example"),
        ("https://app.example/up?x", "without a path, or a slash at its end: https://app.example"),
        ("https://app.example:443", "usual port of https: https://app.example"),
        ("http://app.example:80", "usual port of http: http://app.example"),
        ("https://app.example:0", "1 to 65535"),
        ("https://app.example:65536", "1 to 65535"),
        ("https://app.example:08443", "leading zeros"),
        ("https://App.example", "lower case, as browsers send it: https://app.example"),
        ("Null", "lower case"),
        ("app.example", "with its scheme: https://app.example"),
        ("//app.example", "with its scheme: https://app.example"),
        ("file:///index.html", "must be null"),
        ("https://user@app.example", "SCHEME://HOST[:PORT]"),
        ("https://büro.example", "xn--"),
        ("https://app.example ", "SCHEME://HOST[:PORT]"),
        ("https://a.example,https://b.example", "without a path"),
        ("", "with its scheme"),
    ],
)
def test_an_origin_that_cannot_match_is_refused_with_the_rule(
    capsys: pytest.CaptureFixture[str], wrong: str, words: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        run([*SETUP, f"--cors-origin={wrong}"])
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


def test_a_principal_is_an_arn(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        run([*SETUP, "--principal", "*"])
    assert refused.value.code == 2
    assert "must be an ARN" in capsys.readouterr().err


# A rule's origin, and a matching origin of a browser or webview.
ORIGINS = {
    "https://app.example": "https://app.example",
    "http://localhost:3000": "http://localhost:3000",
    "http://localhost:*": "http://localhost:5173",
    "http://[::1]:8080": "http://[::1]:8080",
    "https://my_app.example": "https://my_app.example",
    "https://*.example.com": "https://a.b.example.com",
    "https://shop-*.pages.example:8443": "https://shop-7f3.pages.example:8443",
    "capacitor://localhost": "capacitor://localhost",
    "ionic://localhost": "ionic://localhost",
    "tauri://localhost": "tauri://localhost",
    "app://obsidian.md": "app://obsidian.md",
    "chrome-extension://cjpalhdlnbpafiamejdnhcphjbkeiagm": (
        "chrome-extension://cjpalhdlnbpafiamejdnhcphjbkeiagm"
    ),
    "moz-extension://5f9a2b1c-0000-4000-8000-000000000001": (
        "moz-extension://5f9a2b1c-0000-4000-8000-000000000001"
    ),
    "null": "null",
}
OTHERS = ("https://other.example", "https://example.com.evil.example", "capacitor://evil")


async def preflight(service: ServiceUnderTest, target: UploadTarget, origin: str) -> bool:
    """Whether a page of this origin may send the target's request (fetch.spec.whatwg.org)."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": target.method,
        "Access-Control-Request-Headers": ",".join(sorted(name.lower() for name in target.headers)),
    }
    async with service.http.options(target.url, headers=asked) as answer:
        await answer.read()
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed in (None, "*", origin)
        return answer.status < 300 and allowed is not None


async def test_pages_and_apps_of_every_kind_of_origin_pass_the_preflight(
    run_here: RunHere, serve_settings: ServeSettings, make_service: MakeService
) -> None:
    flags = [f"--cors-origin={origin}" for origin in ORIGINS]
    done = await run_here(*SETUP, *flags, settings=serve_settings)
    assert (done.code, done.err, found(done.out)["cors"]) == (0, "", "written")
    service = await make_service(s3_bucket=serve_settings["s3_bucket"])
    started = await service.start(size_bytes=6, checksums={"sha256": "0" * 64})
    passed = {sent for sent in ORIGINS.values() if await preflight(service, started.target, sent)}
    assert passed == set(ORIGINS.values())
    assert not [sent for sent in OTHERS if await preflight(service, started.target, sent)]
    again = await run_here(*SETUP, *flags, settings=serve_settings)
    assert found(again.out)["cors"] == "up to date, nothing written"
