"""The embedded Postgres starts, is shared, stops, and survives the remains of a crash."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.embedded import account
from connector_pipeline.postgres.embedded.account import server_user_account
from connector_pipeline.postgres.embedded.postmaster import data_directory, running_server
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres

ROOT = os.geteuid() == 0
INTERPRETER_FOR_ALL = all(
    directory.stat().st_mode & 0o001 for directory in Path(sys.executable).resolve().parents
)
PROJECT = Path(__file__).parents[2]
QUICK = {"fsync": "off"}

HOLDER = """
import sys
from pathlib import Path
import psycopg
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"}) as server:
    try:
        print("held", flush=True)
        sys.stdin.readline()
    except KeyboardInterrupt:
        pass
    with psycopg.connect(server.url()) as connection:
        connection.execute("SELECT 1")
    print("answered", flush=True)
"""


@contextmanager
def another_holder(home: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that holds the server until a line is written to it or its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def one(url: str, query: str) -> object:
    """The only value of a query's only row."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


def postmaster_pid(home: Path) -> int:
    """The pid in the server's pid file."""
    return int((data_directory(home) / "postmaster.pid").read_text().splitlines()[0])


def test_both_databases_exist_and_data_outlives_a_stop(home: Path) -> None:
    """Committed rows are there for the next holder after the last one left."""
    with EmbeddedPostgres(home) as server:
        with psycopg.connect(server.url("catalog")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        assert one(server.url("dagster"), "SELECT current_database()") == "dagster"
        assert one(server.url(), "SHOW fsync") == "on"
    assert running_server(home) is None
    with EmbeddedPostgres(home) as server:
        assert one(server.url(), "SELECT number FROM kept") == 7


def test_dagster_is_given_the_dialect_it_needs(home: Path) -> None:
    """Dagster's URL names psycopg2 and its own database, and SQLAlchemy reads the socket in it."""
    with EmbeddedPostgres(home, settings=QUICK) as server:
        url = make_url(server.dagster_url)
        assert url.drivername == "postgresql+psycopg2"
        assert url.database == "dagster"
        assert url.query["host"] == str(data_directory(home))


def test_the_server_stops_with_its_last_holder(home: Path) -> None:
    """It outlives the process that started it, as long as another one holds it."""
    with another_holder(home) as first:
        with EmbeddedPostgres(home) as second:
            first.communicate("\n")
            assert one(second.url(), "SELECT 1") == 1
        assert running_server(home) is None


def test_a_killed_holder_does_not_keep_the_server_for_ever(home: Path) -> None:
    """A holder that was killed no longer counts: the next one to leave stops the server."""
    with another_holder(home) as killed:
        killed.kill()
        killed.wait()
        assert running_server(home) is not None
        with EmbeddedPostgres(home) as server:
            assert one(server.url(), "SELECT 1") == 1
        assert running_server(home) is None


def test_ctrl_c_reaches_its_holder_and_not_the_server(home: Path) -> None:
    """A holder interrupted from its terminal can still finish what it does with the database."""
    with another_holder(home) as holder:
        os.killpg(holder.pid, signal.SIGINT)
        output, _ = holder.communicate()
        assert output == "answered\n"


def test_a_server_that_was_killed_starts_again(home: Path) -> None:
    """After kill -9 of the server its pid file is stale, and the data whole."""
    with EmbeddedPostgres(home) as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        postmaster = psutil.Process(postmaster_pid(home))
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=30)
    with EmbeddedPostgres(home) as server:
        assert one(server.url(), "SELECT number FROM kept") == 7


def test_a_server_that_was_killed_is_revived_by_its_holder(home: Path) -> None:
    """It has the same address, and starts when even a busy process of the old server is gone."""
    with EmbeddedPostgres(home, settings=QUICK) as server:
        url = server.url()
        assert not server.revive()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        checkpointer = one(
            url, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        )
        postmaster, orphan = psutil.Process(postmaster_pid(home)), psutil.Process(checkpointer)
        # A stopped process cannot notice that its server is gone.
        orphan.suspend()
        postmaster.kill()
        while running_server(home) is not None:
            time.sleep(0.01)
        let_go = threading.Timer(1, orphan.resume)
        let_go.start()
        assert server.revive()
        let_go.join()
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert server.url() == url
        assert one(url, "SELECT number FROM kept") == 7
        assert not server.revive()


def test_a_pid_that_went_to_another_process_is_no_server(home: Path) -> None:
    """Files of a killed server that name a living stranger do not stop the start."""
    with EmbeddedPostgres(home, settings=QUICK):
        pid_file = data_directory(home) / "postmaster.pid"
        _, *rest = pid_file.read_text().splitlines(keepends=True)
    # The process has the server's account: Postgres takes no other account's process for a server.
    owner = server_user_account()
    with subprocess.Popen(["sleep", "300"], user=owner.pw_uid if owner else None) as stranger:
        for file in (pid_file, data_directory(home) / ".s.PGSQL.5432.lock"):
            file.write_text(f"{stranger.pid}\n" + "".join(rest))
        assert running_server(home) is None
        with EmbeddedPostgres(home, settings=QUICK) as server:
            assert one(server.url(), "SELECT 1") == 1
        stranger.kill()


@pytest.mark.parametrize("content", ["", "rubbish\n", "12"])
def test_a_pid_file_cut_off_by_a_crash_does_not_stop_the_start(home: Path, content: str) -> None:
    """A full disk can leave the pid file empty or cut off."""
    with EmbeddedPostgres(home, settings=QUICK):
        pass
    (data_directory(home) / "postmaster.pid").write_text(content)
    with EmbeddedPostgres(home, settings=QUICK) as server:
        assert one(server.url(), "SELECT 1") == 1


def test_an_initdb_that_was_killed_is_begun_anew(home: Path) -> None:
    """The remains of an unfinished initdb are thrown away."""
    unfinished = home / "postgres.initdb"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home, settings=QUICK) as server:
        assert one(server.url(), "SELECT 1") == 1
    assert not unfinished.exists()


@pytest.mark.parametrize(
    "name", ["with space", 'quote"s $HOME `x`', "comma, separated", "åäö", "x" * 120]
)
def test_any_directory_will_do(home: Path, name: str) -> None:
    """Spaces, shell and list syntax, other letters, and paths too long for a socket."""
    with EmbeddedPostgres(home / name, settings=QUICK) as server:
        assert one(server.url(), "SELECT current_setting('data_directory')") == str(
            data_directory(home / name)
        )


def test_the_environment_of_another_server_is_not_taken_for_ours(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGPORT, PGDATA and the like in the user's shell belong to the user's own server."""
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGHOST", "db.invalid")
    with EmbeddedPostgres(home, settings=QUICK) as server:
        assert one(server.url(), "SHOW port") == "5432"


def test_nobody_else_can_reach_the_socket(home: Path) -> None:
    """The server trusts every client, so only a socket in a closed directory listens."""
    with EmbeddedPostgres(home, settings=QUICK) as server:
        assert one(server.url(), "SHOW listen_addresses") == ""
        assert data_directory(home).stat().st_mode & 0o077 == 0


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    """The error carries the end of the server's log."""
    with EmbeddedPostgres(home, settings=QUICK):
        pass
    with (data_directory(home) / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = on\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_setting"), EmbeddedPostgres(home):
        pass
    assert running_server(home) is None


def test_data_of_another_version_is_left_alone(home: Path) -> None:
    """A cluster of another Postgres is neither started nor overwritten."""
    data_directory(home).mkdir()
    (data_directory(home) / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseUnavailable, match="version 16"), EmbeddedPostgres(home):
        pass
    assert (data_directory(home) / "PG_VERSION").read_text() == "16\n"


@pytest.mark.skipif(not ROOT, reason="only root makes accounts")
def test_the_account_is_made_without_the_folders_of_system_programs_in_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container's exec may have such a PATH, and `env -i PATH=/usr/bin:/bin` has."""
    name = f"pgserver-{os.getpid()}"
    monkeypatch.setattr(account, "_ACCOUNT", name)
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    try:
        made = server_user_account()
        assert made is not None
        assert (made.pw_name, made.pw_shell) == (name, "/bin/false")
    finally:
        subprocess.run([account.program("userdel") or "userdel", name], check=False)


@pytest.mark.skipif(not ROOT, reason="only root makes accounts")
def test_an_account_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the message of useradd."""
    monkeypatch.setattr(account, "_ACCOUNT", "no:account")
    with pytest.raises(DatabaseUnavailable, match="invalid user name"):
        server_user_account()


@pytest.mark.skipif(not ROOT, reason="only root runs the server as another user")
@pytest.mark.skipif(account.program("setpriv") is None, reason="needs setpriv of util-linux")
def test_root_has_a_server_in_a_directory_closed_to_others(home: Path) -> None:
    """/root and the directories of mktemp are such. It stays closed, and the server stops."""
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    own_home = closed / "connector"
    for _ in range(2):
        with (
            EmbeddedPostgres(own_home, settings=QUICK) as server,
            psycopg.connect(server.url()) as connection,
        ):
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert running_server(own_home) is None
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
@pytest.mark.skipif(not INTERPRETER_FOR_ALL, reason="others may not run this interpreter")
def test_root_and_then_an_ordinary_user_each_have_a_server(home: Path) -> None:
    """Root leaves nothing on the machine that hinders an ordinary user."""
    with EmbeddedPostgres(home, settings=QUICK):
        pass
    theirs = home / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    done = subprocess.run(
        [sys.executable, "-c", HOLDER, str(theirs)],
        input="\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=theirs,
        user=65534,
        group=65534,
        extra_groups=[],
        env={"PYTHONPATH": str(PROJECT), "PATH": os.environ["PATH"]},
    )
    assert done.stdout == "held\nanswered\n", done.stderr
