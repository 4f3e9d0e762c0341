"""Servers and databases that tests share."""

import os
import socket
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
import trustme
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.platforms.adapters import found_adapters
from connector_pipeline.platforms.http import connecting
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests import process_logs
from connector_pipeline_tests.parsers import PARSERS

LONG: Final = 3_000
"""Examples of each parser in the profile `long`, which take ten to fifteen minutes on one core."""

# No test measures time: a busy machine must not fail one by being slow. CI checks a commit with the
# same examples each time; new ones are looked for where somebody can act on what they find.
hypothesis.settings.register_profile(
    "connector",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
# For the marked parsers (parsers.py): many more examples than a change can wait for.
hypothesis.settings.register_profile(
    "long", parent=hypothesis.settings.get_profile("connector"), max_examples=LONG
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "connector"))

# The default sweeps every shop at each full hour, also the shops of a test that is under way then.
# This one is half a year away on each day of the year.
os.environ["SYNC_CRON"] = f"0 0 1 {(datetime.now(UTC).month + 5) % 12 + 1} *"

# Playwright comes with the extra `e2e`, which .ci/e2e installs.
collect_ignore = [] if find_spec("playwright") else ["e2e"]

TEST_SERVER_VARIABLE = "CONNECTOR_TEST_DATABASE_URL"


@pytest.fixture(autouse=True)
def forget_secrets_of_examples(request: pytest.FixtureRequest) -> Generator[None]:
    """Forget what Hypothesis made up as a password: it may be a word of a later test."""
    before = set(SECRETS._kept)  # pyright: ignore[reportPrivateUsage]
    yield
    if getattr(getattr(request, "function", None), "is_hypothesis_test", False):
        SECRETS._drop(SECRETS._kept.keys() - before)  # pyright: ignore[reportPrivateUsage]


class EndWithoutWhatTestsShare:
    """Ends the session where a session fixture fails: each of its tests would say the same."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        try:
            return (yield)
        except Exception as error:
            if fixturedef.scope == "session":
                pytest.exit(f"fixture {fixturedef.argname}: {type(error).__name__}: {error}")
            raise


def pytest_configure(config: pytest.Config) -> None:
    """Registered, because a session's own hooks are not looked for in this folder."""
    config.pluginmanager.register(EndWithoutWhatTestsShare())
    config.addinivalue_line("markers", "parser: the property test of a parser (parsers.py)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the parsers."""
    tests = set(PARSERS.values())
    for item in items:
        place = item.nodeid.partition("connector_pipeline_tests/")[2]
        if place.partition("[")[0] in tests:
            item.add_marker("parser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows the logs of its processes."""
    report = yield
    logs = process_logs.take(of_open=report.failed)
    if report.failed:
        report.sections += logs
    return report


@pytest.fixture(scope="session", autouse=True)
def dagsters_revisions_are_read_once() -> Iterator[None]:
    """Each of Dagster's instances in memory reads 90 files of migrations twice: most of its time.

    Our own migrations are read each time, because tests add some.
    """
    read = ScriptDirectory.from_config
    kept: dict[str, ScriptDirectory] = {}

    def once(config: Config) -> ScriptDirectory:
        location = config.get_main_option("script_location") or ""
        if not location.startswith("dagster:"):
            return read(config)
        if location not in kept:
            kept[location] = read(config)
        return kept[location]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", once)
        yield


@contextmanager
def enterable_directory() -> Generator[Path]:
    """A temporary directory that the account of a root's server may enter, below /tmp itself."""
    with tempfile.TemporaryDirectory(prefix="connector-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


@pytest.fixture
def home() -> Generator[Path]:
    """An empty CONNECTOR_HOME, short enough for a socket.

    Not tmp_path, whose parents only we may enter: run as root, the server runs as another user.
    """
    with enterable_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server: the one that CONNECTOR_TEST_DATABASE_URL names (a superuser's URL), or our own."""
    if url := os.environ.get(TEST_SERVER_VARIABLE):
        with psycopg.connect(url):
            pass
        yield url
        return
    not_durable = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with (
        enterable_directory() as directory,
        EmbeddedPostgres(directory, settings=not_durable) as server,
    ):
        yield server.url("postgres")


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> Iterator[Callable[[str | None], str]]:
    """Makes a database, as a copy of the template named or empty, and returns its URL."""
    made: list[str] = []

    def make(template: str | None = None) -> str:
        name = f"connector_test_{os.getpid()}_{len(made)}"
        with psycopg.connect(postgres_url, autocommit=True) as admin:
            admin.execute(
                # Copied as files, and not through the WAL: half the time.
                sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(template or "template0")
                )
            )
        made.append(name)
        return urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))

    yield make
    if TEST_SERVER_VARIABLE not in os.environ:
        # Our own server goes with its folder.
        return
    for name in made:
        drop_database(postgres_url, name)


def drop_database(server_url: str, name: str) -> None:
    """Drop a database, unless it is gone."""
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


@pytest.fixture(scope="session")
def migrated_template(new_database: Callable[[str | None], str]) -> str:
    """The name of a migrated database to copy: cheaper than migrating for every test."""
    url = new_database(None)
    migrate(url)
    return urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(
    postgres_url: str, new_database: Callable[[str | None], str], migrated_template: str
) -> Iterator[str]:
    """A fresh, migrated database, which is dropped: a thousand of them would take 8 GB."""
    url = new_database(migrated_template)
    yield url
    drop_database(postgres_url, urlsplit(url).path.removeprefix("/"))


@pytest.fixture
def empty_database_url(
    postgres_url: str, new_database: Callable[[str | None], str]
) -> Iterator[str]:
    """A fresh database that was never migrated."""
    url = new_database(None)
    yield url
    drop_database(postgres_url, urlsplit(url).path.removeprefix("/"))


@pytest.fixture
def database(database_url: str) -> Database:
    """The resource over a fresh, migrated database."""
    return Database(url=database_url)


@pytest.fixture
def registry(database: Database) -> ShopRegistry:
    """The registry over the same database as `database`."""
    return ShopRegistry(database=database)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The authority that signs the certificates of HTTPS servers."""
    return trustme.CA()


@pytest.fixture
def shop_names(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Host names below `.example` lead to this machine, and `authority` is trusted."""
    known_by = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(known_by))
    monkeypatch.setenv("SSL_CERT_FILE", str(known_by))
    resolve = socket.getaddrinfo

    def at_home(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if str(name).endswith(".example") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", at_home)
    connecting.tls.cache_clear()
    yield
    connecting.tls.cache_clear()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[Path], None]]:
    """Puts a folder with distributions on sys.path; the adapters they bring go with the test."""

    def put(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        found_adapters.cache_clear()

    yield put
    found_adapters.cache_clear()
