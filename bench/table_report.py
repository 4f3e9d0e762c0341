"""The table of bench/table.py: rows, targets, and both as Markdown and JSON."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from table_ways import Took

_PACKAGES: Final = ("connector-pipeline", "dagster", "psycopg", "pydantic", "httpx")


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: of what (`part`, `step`), by which way, and the figures."""

    part: str
    step: str
    way: str
    readable: float | None
    exit: float | None
    cpu: float | None = None
    peak: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and the most, or the least, that it may be. None: not measured in this call."""

    what: str
    figure: float | None
    limit: float
    unit: str = "x"
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.figure is None:
            return None
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


@dataclass(slots=True)
class Report:
    """All that was measured so far."""

    size: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    """Figures that are no times of a way: exponents, bytes, CPU per shop; name to value."""
    environment: dict[str, Any] = field(default_factory=dict)

    def add(self, part: str, step: str, way: str, tooks: Sequence[Took], note: str = "") -> Row:
        """Add the least of the rounds: noise only ever adds."""
        readables = [took.readable for took in tooks if took.readable is not None]
        peaks = [took.peak for took in tooks if took.peak is not None]
        row = Row(
            part,
            step,
            way,
            min(readables) if readables else None,
            min(took.exit for took in tooks),
            min(took.cpu for took in tooks),
            min(peaks) if peaks else None,
            note,
        )
        self.put(row)
        return row

    def put(self, row: Row) -> None:
        """Add a row and print it, so that a long call shows how far it is."""
        self.rows.append(row)
        print(
            f"{row.part}, {row.step}, {row.way}: readable {_seconds(row.readable)}, "
            f"exit {_seconds(row.exit)}, CPU {_seconds(row.cpu)}",
            flush=True,
        )

    def figure(self, name: str, value: float) -> None:
        """Keep and print a figure."""
        self.figures[name] = value
        print(f"{name}: {value:.4g}", flush=True)

    def ratio(
        self, part: str, step: str, above: str, below: str, column: str = "exit"
    ) -> float | None:
        """One way's figure through another's; None where one of them was not measured."""
        found = {
            row.way: getattr(row, column)
            for row in self.rows
            if (row.part, row.step) == (part, step)
        }
        first, second = found.get(above), found.get(below)
        return None if first is None or not second else first / second


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


def this_machine(connection: psycopg.Connection, dlt_python: Path | None) -> dict[str, Any]:
    """Processor, memory, load, commit and versions."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    [(postgres,)] = connection.execute("SHOW server_version").fetchall()
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    if dlt_python is not None:
        code = "import dlt; print(dlt.__version__)"
        found = subprocess.run([dlt_python, "-c", code], check=True, capture_output=True, text=True)
        versions["dlt"] = found.stdout.strip()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": commit or "unknown",
        "processor": names[0] if names else platform.machine(),
        "cores": psutil.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "postgres": postgres,
        **versions,
    }


def as_json(report: Report, targets: Sequence[Target]) -> str:
    """All of it, for programs."""
    return json.dumps(
        {
            "environment": report.environment,
            "size": report.size,
            "rows": [asdict(row) for row in report.rows],
            "figures": report.figures,
            "targets": [asdict(target) | {"met": target.met} for target in targets],
        },
        indent=2,
    )


def as_markdown(report: Report, targets: Sequence[Target]) -> str:
    """All of it, for people."""
    told = ", ".join(f"{name} {value}" for name, value in report.environment.items())
    sized = ", ".join(f"{name} {value}" for name, value in report.size.items())
    lines = [
        "# Speed",
        "",
        f"{told}. Sizes: {sized}.",
        "",
        "## Targets",
        "",
        "| target | limit | measured | met |",
        "| --- | ---: | ---: | --- |",
    ]
    for target in targets:
        limit = f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}".replace(
            " x", ""
        )
        measured = "" if target.figure is None else f"{target.figure:.2f}"
        met = {None: "not measured", True: "yes", False: "**no**"}[target.met]
        lines.append(f"| {target.what} | {limit} | {measured} | {met} |")
    lines += [
        "",
        "## Times",
        "",
        "Seconds from the start of the command or the launch of the run. Each is the least of the "
        "rounds.",
        "",
        "| what | step | way | to readable rows | to exit | CPU | peak MB | |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {row.part} | {row.step} | {row.way} | {_plain(row.readable)} | {_plain(row.exit)} "
        f"| {_plain(row.cpu)} | {'' if row.peak is None else f'{row.peak:.0f}'} | {row.note} |"
        for row in report.rows
    ]
    lines += ["", "## Other figures", "", "| figure | value |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.4g} |" for name, value in report.figures.items()]
    return "\n".join([*lines, ""])


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
