"""The archive on a real S3-compatible server: what goes wrong there is one line with its remedy."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fsspec.config import conf  # pyright: ignore[reportMissingTypeStubs]

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.cli import doctor
from connector_pipeline.cli.doctor_looks import looked_at
from connector_pipeline.model.errors import ArchiveUnavailable, SnapshotMissing
from connector_pipeline.model.finding import Finding
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.archive.conftest import ObjectServer, s3_environment
from connector_pipeline_tests.archive.stalling_proxy import StallingProxy
from connector_pipeline_tests.archive.test_raw_archive import SHOP, interrupted, snapshot, sync

MAY_NOT_DELETE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:DeleteObject",
                "Resource": "arn:aws:s3:::BUCKET/*",
            }
        ],
    }
)

LARGE = 60_000_000
"""Bytes of a page that does not become smaller. s3fs uploads in parts from 100 MB on."""


@contextmanager
def s3_options(**options: object) -> Generator[None]:
    """What an operator sets for s3fs by FSSPEC_S3_…; each set has a client of its own."""
    conf["s3"] = options
    try:
        yield
    finally:
        del conf["s3"]


def refusal(url: str) -> ArchiveUnavailable:
    """The error of a sync's first steps."""
    with pytest.raises(ArchiveUnavailable) as refused:
        interrupted(RawArchive(url=url))
    return refused.value


def test_a_bucket_that_is_missing_is_an_error_and_is_not_made(s3: ObjectServer) -> None:
    """The bucket would belong to whoever ran a sync first, under rules that nobody chose."""
    before = s3.buckets()
    line = (
        "the raw archive in bucket of-nobody cannot be {} (NoSuchBucket). Make the bucket, which "
        "the connector never does, or correct RAW_ARCHIVE_URL; the next sync tries again."
    )
    archive = RawArchive(url="s3://of-nobody/raw")
    assert str(refusal(archive.url)) == line.format("read")
    for use in (
        lambda: archive.latest(SHOP),
        lambda: archive.finished(SHOP, "sync-1"),
        lambda: archive.storage().size(SHOP),
        lambda: archive.storage().read("a"),
    ):
        with pytest.raises(ArchiveUnavailable) as reading:
            use()
        assert str(reading.value) == line.format("read")
    with pytest.raises(ArchiveUnavailable) as writing:
        archive.storage().write("a", b"1")
    assert str(writing.value) == line.format("written")
    assert s3.buckets() == before


@contextmanager
def credentials_are_looked_at(server: ObjectServer) -> Generator[None]:
    """The server believes nobody meanwhile: it knows no user."""

    def after(requests: int) -> None:
        call = urllib.request.Request(
            f"{server.url}/moto-api/reset-auth",
            data=str(requests).encode(),
            headers={"Content-Type": "text/plain"},
        )
        with urllib.request.urlopen(call):
            pass

    after(0)
    try:
        yield
    finally:
        after(10**12)


def test_credentials_that_are_not_believed_are_an_error_without_them(s3: ObjectServer) -> None:
    """The remedy says where credentials come from; no message quotes them."""
    bucket = s3.new_bucket()
    with credentials_are_looked_at(s3):
        refused = refusal(f"s3://{bucket}/raw")
    assert str(refused) == (
        f"the raw archive in bucket {bucket} cannot be read (InvalidAccessKeyId). Give the "
        "processes valid credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or "
        "a role); the next sync tries again."
    )
    assert s3.keys(bucket) == []


def test_no_credentials_at_all_are_an_error(
    s3: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was started without its variables."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with s3_options(client_kwargs={"region_name": "us-east-1"}):
        refused = refusal(f"s3://{s3.new_bucket()}/raw")
    assert "cannot be read (NoCredentialsError). Give the processes valid" in str(refused)


@pytest.mark.parametrize(
    ("listens", "reason"),
    [(False, "EndpointConnectionError"), (True, "ReadTimeoutError")],
)
def test_an_endpoint_out_of_reach_is_an_error(s3: ObjectServer, listens: bool, reason: str) -> None:
    """Nobody listens there, or takes the connection and never answers."""
    with socket.socket() as endpoint:
        endpoint.bind(("127.0.0.1", 0))
        if listens:
            endpoint.listen()
        url = f"http://127.0.0.1:{endpoint.getsockname()[1]}"
        bounds = {"read_timeout": 0.2, "retries": {"total_max_attempts": 2}}
        with s3_options(endpoint_url=url, config_kwargs=bounds):
            refused = refusal("s3://a-bucket/raw")
    assert refused.retryable
    assert str(refused) == (
        f"the raw archive in bucket a-bucket cannot be read ({reason}). Check AWS_ENDPOINT_URL_S3 "
        "(AWS_REGION for Amazon's own) and the way there; the next sync tries again."
    )


def test_a_store_whose_package_is_missing_names_the_extra() -> None:
    """The command to run is in the message."""
    script = """
import sys
sys.modules.update(dict.fromkeys(("s3fs", "gcsfs", "adlfs")))
from connector_pipeline_tests.archive.test_object_store import refusal
for url in ("s3://b/raw", "gs://b", "az://b"):
    print(refusal(url))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"the raw archive cannot be opened: the extra `{extra}` is not installed. "
        f"Run `pip install 'connector-pipeline[{extra}]'`."
        for extra in ("s3", "gcs", "azure")
    ], done.stderr


@pytest.mark.parametrize("url", ["s3://", "s3:///raw", "s3://key:of-a-secret@bucket/raw"])
def test_a_url_that_names_no_bucket_or_shows_a_secret_is_refused(url: str) -> None:
    """No secret of a URL is repeated."""
    refused = str(refusal(url))
    assert "no bucket is named" in refused or "RAW_ARCHIVE_URL holds a password" in refused
    assert "of-a-secret" not in refused


@pytest.mark.parametrize("pages", [1_001, pytest.param(2_101, marks=pytest.mark.slow)])
def test_more_than_a_thousand_pages_are_listed_and_deleted(s3: ObjectServer, pages: int) -> None:
    """A store lists a thousand keys an answer and deletes a thousand a request."""
    bucket = s3.new_bucket()
    storage = ArchiveStorage.at(f"s3://{bucket}/raw")
    names = [f"{number:07d}-products.zst" for number in range(1, pages + 1)]
    s3.put(bucket, [f"raw/{SHOP}/pages/s/{name}" for name in names])
    assert storage.files(f"{SHOP}/pages/s") == [f"{SHOP}/pages/s/{name}" for name in names]
    assert storage.size(SHOP) == len(names)
    storage.delete(f"{SHOP}/pages/s")
    assert s3.keys(bucket) == []


def test_what_another_process_writes_is_seen_at_once(s3: ObjectServer) -> None:
    """No listing is kept: the other process may have finished a newer snapshot."""
    archive = RawArchive(url=f"s3://{s3.new_bucket()}/raw")
    snapshot(archive, "sync-1", 10)
    assert archive.latest(SHOP).manifest.sync.sync_id == "sync-1"
    script = (
        "from connector_pipeline_tests.archive.test_raw_archive import RawArchive, snapshot; "
        f"snapshot(RawArchive(url={archive.url!r}), 'sync-2', 20)"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    # Nor does a process that ends leave warnings about connections that are still open.
    assert (other.returncode, other.stderr) == (0, "")
    assert archive.latest(SHOP).manifest.sync.sync_id == "sync-2"


def test_a_process_may_fork_after_its_first_use(s3: ObjectServer) -> None:
    """Celery's workers do: the parent's client and its thread do not work in a child."""
    url = f"s3://{s3.new_bucket()}/raw"
    script = f"""
import os, sys
from connector_pipeline_tests.archive.test_raw_archive import RawArchive, SHOP, snapshot
archive = RawArchive(url={url!r})
snapshot(archive, "sync-1", 10)
child = os.fork()
if child == 0:
    assert archive.latest(SHOP).manifest.sync.sync_id == "sync-1"
    snapshot(archive, "sync-2", 20)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert archive.latest(SHOP).manifest.sync.sync_id == "sync-2"
"""
    forked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120
    )
    assert (forked.returncode, forked.stderr) == (0, "")


def test_a_writer_killed_in_mid_upload_leaves_no_snapshot_and_no_part(s3: ObjectServer) -> None:
    """The server has the head of the request and a part of a large page, and drops both."""
    bucket = s3.new_bucket()
    archive = RawArchive(url=f"s3://{bucket}/raw")
    snapshot(archive, "sync-1", 10)
    script = f"""
import os
from connector_pipeline_tests.archive.test_raw_archive import RawArchive, RawPage, sync
writer = RawArchive(url={archive.url!r}).write(sync("sync-2"))
writer.begin()
writer.write(RawPage("products", b"1", {{}}))
writer.write(RawPage("products", os.urandom({LARGE}), {{}}))
"""
    with StallingProxy(s3.url, most=5_000_000) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-c", script], env={**os.environ, **s3_environment(proxy.url)}
        )
        assert proxy.stalled.wait(120)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert archive.latest(SHOP).manifest.sync.sync_id == "sync-1"
    assert archive.finished(SHOP, "sync-2") is None
    assert [key.rsplit("/", 1)[-1] for key in s3.keys(bucket) if "/sync-2/" in key] == [
        "0000001-products.zst",
        "sync.json",
    ]
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=bucket)
    # The next attempt goes on from the page before it.
    assert [page.body for page in archive.write(sync("sync-2")).resume()] == [b"1"]
    with pytest.raises(SnapshotMissing):
        archive.latest("shopify/other.myshopify.com")


def test_doctor_writes_reads_and_deletes_in_the_bucket(
    s3: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves nothing there, and shows a bucket that is missing as a sync would."""
    bucket = s3.new_bucket()
    monkeypatch.setenv("CONNECTOR_HOME", str(tmp_path))
    seen: list[Finding] = []
    for name in (bucket, "of-nobody"):
        monkeypatch.setenv("RAW_ARCHIVE_URL", f"s3://{name}/raw")
        seen.append(looked_at("raw archive", lambda: doctor._raw_archive(load_settings())))
    assert seen[0] == Finding("raw archive", True, f"s3://{bucket}/raw/ can be written")
    assert (seen[1].ok, seen[1].remedy[:15]) == (False, "Make the bucket")
    assert s3.keys(bucket) == []


def test_what_the_store_refuses_to_delete_is_not_reported_as_deleted(s3: ObjectServer) -> None:
    """S3 answers such a request with 200, and names each object that it kept in the body."""
    bucket = s3.new_bucket()
    archive = RawArchive(url=f"s3://{bucket}/raw")
    snapshot(archive, "sync-1", 10)
    before = s3.keys(bucket)
    s3.client.put_bucket_policy(Bucket=bucket, Policy=MAY_NOT_DELETE.replace("BUCKET", bucket))
    with pytest.raises(ArchiveUnavailable, match=r"has not deleted s3://.*s3:DeleteObject"):
        archive.erase(SHOP)
    assert s3.keys(bucket) == before
    s3.client.delete_bucket_policy(Bucket=bucket)
    assert archive.erase(SHOP).snapshots == 1
    assert s3.keys(bucket) == []


def test_a_page_of_many_megabytes_is_one_upload(s3: ObjectServer) -> None:
    """An upload in parts that is cut off would cost its parts' space for ever."""
    bucket = s3.new_bucket()
    storage = ArchiveStorage.at(f"s3://{bucket}/raw")
    content = os.urandom(LARGE)
    storage.write("large", content)
    assert s3.keys(bucket) == ["raw/large"]
    # Of an object that was uploaded in parts, the tag ends in their number.
    assert "-" not in s3.client.head_object(Bucket=bucket, Key="raw/large")["ETag"]
    assert storage.read("large") == content
