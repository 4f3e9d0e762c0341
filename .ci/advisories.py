"""Names the pinned versions that published advisories are about, without a network.

    .venv/bin/python .ci/advisories.py all.zip

`all.zip` is OSV's file of all advisories for PyPI, which its site says how to download
(https://google.github.io/osv.dev/data/#data-dumps, the ecosystem PyPI). Exit status: 0 none found,
1 some found, 2 the file cannot be read or holds no advisory for PyPI.
"""

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

PROJECT = Path(__file__).resolve().parent.parent
FILES = (
    "constraints.txt",
    "constraints-build.txt",
    "constraints-e2e.txt",
    "constraints-stores.txt",
)
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\]+)", re.MULTILINE)


def pins() -> dict[str, Version]:
    """The pinned version of every package, by its canonical name."""
    written = "".join((PROJECT / file).read_text() for file in FILES)
    return {canonicalize_name(name): Version(version) for name, version in _PIN.findall(written)}


def advisories(file: Path) -> Iterator[dict[str, Any]]:
    """The advisories of an OSV file. Raises OSError, zipfile.BadZipFile, ValueError."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def is_about(affected: dict[str, Any], version: Version) -> bool:
    """Whether an advisory's entry for a package is about this version of it."""
    if any(_read(each) == version for each in affected.get("versions", ())):
        return True
    return any(
        _in_range(each.get("events", ()), version)
        for each in affected.get("ranges", ())
        if each.get("type") == "ECOSYSTEM"
    )


def _in_range(events: list[dict[str, str]], version: Version) -> bool:
    within = False
    for event in events:
        [(kind, written)] = list(event.items())[:1]
        since = Version("0") if written == "0" else _read(written)
        if since is None:
            continue
        if kind == "introduced" and version >= since:
            within = True
        elif (kind == "fixed" and version >= since) or (
            kind == "last_affected" and version > since
        ):
            within = False
    return within


def _read(written: str) -> Version | None:
    try:
        return Version(written)
    except InvalidVersion:
        return None


def _main(file: Path) -> int:
    pinned, looked_at, found = pins(), 0, 0
    try:
        for advisory in advisories(file):
            if advisory.get("withdrawn"):
                continue
            for affected in advisory.get("affected", ()):
                package = affected.get("package", {})
                if package.get("ecosystem") != "PyPI":
                    continue
                looked_at += 1
                version = pinned.get(canonicalize_name(package.get("name", "")))
                if version is not None and is_about(affected, version):
                    found += 1
                    summary = advisory.get("summary") or "no summary"
                    print(f"{package['name']} {version}: {advisory['id']}, {summary}")
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        print(f"{file} cannot be read: {error}", file=sys.stderr)
        return 2
    if not looked_at:
        print(f"{file} holds no advisory for PyPI", file=sys.stderr)
        return 2
    print(f"{found} of {looked_at} advisories are about the {len(pinned)} pinned packages")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(_main(Path(sys.argv[1])))
