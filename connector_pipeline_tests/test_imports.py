"""The modules that a process imports: it pays for them at every start."""

import subprocess
import sys
from collections.abc import Collection


def imported_by(program: str, packages: Collection[str]) -> set[str]:
    """Those of the packages that a new process has imported when it has run the program."""
    run = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {
        package
        for package in packages
        for module in run.stdout.split()
        if module == package or module.startswith(f"{package}.")
    }


def test_the_definitions_import_nothing_that_only_some_processes_use() -> None:
    """Every run, every code server and every command that syncs imports the definitions."""
    used_by_some = (
        "pandas",
        "numpy",
        "graphql",
        "alembic",
        "sqlalchemy",
        "nats",
        "jwt",
        "aiohttp",
        "s3fs",
        "gcsfs",
        "dagster_postgres",
        "dagster._daemon",
        "dagster_webserver",
        "opentelemetry",
        "prometheus_client",
    )
    assert not imported_by("import connector_pipeline.definitions", used_by_some)


def test_the_command_line_imports_what_its_help_needs() -> None:
    """`--version`, `--help` and the shell's completion import nothing else."""
    used_by_commands = ("dagster", "httpx", "psycopg", "rich", "sqlalchemy", "ssl", "yaml")
    assert not imported_by("import connector_pipeline.cli.main", used_by_commands)
