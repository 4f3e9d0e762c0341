"""The server is known by its certificate: libpq's `sslmode=verify-full` as a deployment sets it.

The embedded server speaks no TLS. PgBouncer does, by the same protocol, and needs no root.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from connector_pipeline.engine.storage import ConnectorStorage
from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.connections import connect
from connector_pipeline_tests.conftest import enterable_directory
from connector_pipeline_tests.postgres import pgbouncer

# .ci/pgbouncer installs it and runs this file.
pytestmark = pytest.mark.skipif(pgbouncer.PROGRAM is None, reason="PgBouncer is not installed")


@pytest.fixture(scope="module")
def tls_server(postgres_url: str, authority: trustme.CA) -> Iterator[str]:
    """A server that takes connections by TLS alone, with a certificate for `localhost`."""
    with enterable_directory() as folder:
        certificate = authority.issue_cert("localhost")
        files = {
            "client_tls_key_file": certificate.private_key_pem.bytes(),
            "client_tls_cert_file": b"".join(each.bytes() for each in certificate.cert_chain_pems),
        }
        for name, content in files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o644)
        with pgbouncer.pgbouncer(
            postgres_url,
            folder,
            pool_mode="session",
            client_tls_sslmode="require",
            **{name: folder / name for name in files},
        ) as url:
            yield url


@pytest.fixture
def url(tls_server: str, database_url: str) -> Callable[..., str]:
    """Makes the URL of a fresh database there, with libpq's options."""

    def made(host: str = "localhost", **options: object) -> str:
        there = pgbouncer.through(tls_server, database_url).replace("127.0.0.1", host)
        return f"{there}?{'&'.join(f'{name}={value}' for name, value in options.items())}"

    return made


@pytest.fixture
def root(authority: trustme.CA, tmp_path: Path) -> Path:
    """The authority's certificate as a file."""
    authority.cert_pem.write_to_path(str(tmp_path / "root.pem"))
    return tmp_path / "root.pem"


def test_the_catalog_and_dagsters_storage_are_reached_by_verified_tls(
    url: Callable[..., str], root: Path
) -> None:
    """Both drivers take the same options."""
    verified = url(sslmode="verify-full", sslrootcert=root)
    with connect(verified) as connection:
        assert connection.pgconn.ssl_in_use
    storage = ConnectorStorage(verified.replace("://", "+psycopg2://"))
    assert storage.run_storage.get_runs() == []


@pytest.mark.parametrize(
    ("host", "trusted", "says"),
    [
        ("localhost", False, "certificate verify failed"),
        ("127.0.0.1", True, 'does not match host name "127.0.0.1"'),
        ("localhost", None, "does not exist"),
    ],
)
def test_a_server_that_is_not_the_named_one_is_refused_in_one_line(
    url: Callable[..., str], root: Path, tmp_path: Path, host: str, trusted: bool | None, says: str
) -> None:
    """Another authority, another name, no file of an authority: the remedy names all of them."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    named = {True: root, False: tmp_path / "other.pem", None: tmp_path / "no.pem"}[trusted]
    with (
        pytest.raises(DatabaseUnavailable) as refused,
        connect(url(host, sslmode="verify-full", sslrootcert=named)),
    ):
        pass
    assert says in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.remedy == (
        "Let CONNECTOR_DATABASE_URL name the server as its certificate does, and the certificate's "
        "authority by sslrootcert=FILE; the next sync tries again."
    )
