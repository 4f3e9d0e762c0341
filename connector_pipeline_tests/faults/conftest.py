"""The world in which the cells run."""

import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trustme

from connector_pipeline.platforms.http import connecting
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.canaries import Canaries
from connector_pipeline_tests.conftest import enterable_directory
from connector_pipeline_tests.faults.outcomes import Outcomes
from connector_pipeline_tests.faults.running import Shops
from connector_pipeline_tests.faults.world import World


@pytest.fixture(scope="session")
def world(new_database: Callable[[str | None], str], migrated_template: str) -> Generator[World]:
    """One sandbox, database and archive for all cells."""
    with (
        enterable_directory() as folder,
        SandboxServer(()) as sandbox,
        _closed_port() as port,
    ):
        database = Database(url=new_database(migrated_template))
        yield World(sandbox, database, str(folder / "raw"), port, Canaries())


@pytest.fixture(scope="session")
def shops(world: World) -> Shops:
    """The shops of the phases."""
    return Shops(world)


@pytest.fixture(scope="session")
def storage_shops(world: World) -> Shops:
    """A shop of each platform for the faults of the storage."""
    return Shops(world)


@pytest.fixture(scope="session")
def own_world(world: World) -> Generator[World]:
    """The same with a small server of its own, that may be stopped."""
    settings = {"fsync": "off", "max_connections": "16"}
    with enterable_directory() as home, EmbeddedPostgres(home, settings=settings) as server:
        url = server.url("catalog")
        migrate(url)
        yield replace(world, database=Database(url=url), shops={})


@pytest.fixture(scope="session")
def own_shops(own_world: World) -> Shops:
    """A shop of each platform for the faults of a whole server."""
    return Shops(own_world)


@pytest.fixture(scope="module")
def secure_world(world: World) -> Generator[World]:
    """The same over a sandbox that speaks HTTPS, and whose certificate is trusted."""
    authority = trustme.CA()
    with enterable_directory() as folder, pytest.MonkeyPatch.context() as patch:
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        patch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
        connecting.tls.cache_clear()
        with SandboxServer((), certificate=folder / "server.pem") as sandbox:
            yield replace(world, sandbox=sandbox, plain_url=world.sandbox.url, shops={})
    connecting.tls.cache_clear()


@pytest.fixture(scope="module")
def secure_shops(secure_world: World) -> Shops:
    """Shops that are asked over HTTPS."""
    return Shops(secure_world)


@pytest.fixture(scope="session")
def outcomes() -> Generator[Outcomes]:
    """The outcomes that the docs state; at the end they are written, where that is asked for."""
    made = Outcomes.of_the_docs()
    yield made
    made.write()


@contextmanager
def _closed_port() -> Iterator[int]:
    """A port that is taken, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
