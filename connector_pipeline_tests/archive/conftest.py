"""Archives on this machine and in a real S3-compatible object store."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

_names = count()


@dataclass(frozen=True, slots=True)
class ObjectServer:
    """A server of the S3 protocol on loopback, and its own view of what it holds."""

    url: str
    client: Any

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"raw-{next(_names)}"
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects in a bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def put(self, bucket: str, keys: Iterable[str]) -> None:
        """Put a small object at each key; not by requests, as thousands of them take long."""
        for key in keys:
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, b"1")

    def buckets(self) -> list[str]:
        """The names of all buckets."""
        return [each["Name"] for each in self.client.list_buckets()["Buckets"]]


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """One server for all tests: each has a bucket of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = cast("Any", boto3).client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a-key-of-a-test",
        aws_secret_access_key="a-secret-of-a-test",
    )
    yield ObjectServer(url, client)
    server.stop()


@pytest.fixture
def s3(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """The server, which this process's variables lead to as an operator's would."""
    for name, value in s3_environment(object_server.url).items():
        monkeypatch.setenv(name, value)
    return object_server


def s3_environment(url: str) -> dict[str, str]:
    """The variables that lead to an S3-compatible server."""
    return {
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "a-key-of-a-test",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-a-test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(params=["folder", "s3"])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty archive: a folder, and a part of a bucket."""
    if request.param == "folder":
        return str(tmp_path / "raw with spaces")
    server: ObjectServer = request.getfixturevalue("s3")
    return f"s3://{server.new_bucket()}/raw with spaces"
