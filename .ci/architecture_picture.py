"""Draws docs/architecture.svg: the package's rooms in their layers, and what imports what.

The layers are those of the import rule in pyproject.toml, the arrows come from the code. An arrow
that others already imply (a imports b, b imports c, and a imports c as well) is left out. Write the
picture anew, in the project's folder:

    .venv/bin/python .ci/architecture_picture.py > docs/architecture.svg
"""

import sys
import tomllib
from collections.abc import Iterable
from html import escape
from pathlib import Path

import grimp

PACKAGE = "connector_pipeline"
PROJECT = Path(__file__).parents[1]

WIDTH = 1000
ROW = 86
BOX = (150, 38)
MARGIN = 20
STAGGER = 105
KNOWS_DAGSTER, KNOWS_NONE = "#dbe7ff", "#f3f1ea"

Edge = tuple[str, str]


def layers() -> list[list[str]]:
    """The rooms of each layer, the highest first."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [written] = [each["layers"] for each in contracts["contracts"] if each["type"] == "layers"]
    return [[room.strip() for room in layer.split("|")] for layer in written]


def imports() -> tuple[set[Edge], set[str]]:
    """Which room imports which, and the rooms that import Dagster."""
    graph = grimp.build_graph(PACKAGE, include_external_packages=True)
    edges: set[Edge] = set()
    dagster: set[str] = set()
    for module in graph.modules:
        if not module.startswith(f"{PACKAGE}."):
            continue
        room = module.split(".")[1]
        for imported in graph.find_modules_directly_imported_by(module):
            top, _, below = imported.partition(".")
            if top == PACKAGE and below and below.split(".")[0] != room:
                edges.add((room, below.split(".")[0]))
            elif top.startswith("dagster"):
                dagster.add(room)
    return edges, dagster


def reduced(edges: set[Edge]) -> set[Edge]:
    """The edges that no others imply."""
    below: dict[str, set[str]] = {}
    for upper, lower in edges:
        below.setdefault(upper, set()).add(lower)

    def reached(room: str) -> set[str]:
        direct = below.get(room, set())
        return direct.union(*(reached(each) for each in direct))

    return {
        (upper, lower)
        for upper, lower in edges
        if not any(lower in reached(other) for other in below[upper] - {lower})
    }


def places(rows: list[list[str]], edges: Iterable[Edge]) -> dict[str, tuple[float, int]]:
    """The middle of each room's box, and its row: below the rooms that import it, if it can be."""
    found: dict[str, tuple[float, int]] = {}
    pairs = list(edges)
    for number, row in enumerate(rows):

        def wanted(room: str) -> float:
            above = [found[upper][0] for upper, lower in pairs if lower == room and upper in found]
            return sum(above) / len(above) if above else WIDTH / 2

        step = WIDTH / len(row)
        # Side by side, or an arrow past a single room would seem to begin or end there.
        aside = STAGGER * (-1) ** number if len(row) == 1 and number else 0
        for position, room in enumerate(sorted(row, key=lambda room: (wanted(room), room))):
            found[room] = (step * (position + 0.5) + aside, number)
    return found


def ends(arrows: set[Edge], at: dict[str, tuple[float, int]], side: int) -> dict[Edge, float]:
    """Where along its box each arrow begins (`side` 0) or ends (1), so that none hides another."""
    found: dict[Edge, float] = {}
    for room, (x, _) in at.items():
        here = sorted(
            (arrow for arrow in arrows if arrow[side] == room),
            key=lambda arrow: (at[arrow[1 - side]][0], arrow),
        )
        for number, arrow in enumerate(here):
            found[arrow] = x + (number + 0.5 - len(here) / 2) * min(BOX[0] / len(here), 34)
    return found


def past(boxes: list[float], x: float) -> float:
    """The place nearest to `x` at which an arrow passes a row of boxes, given by their middles."""
    gap = BOX[0] / 2 + 14
    free = [x, *(middle + side * gap for middle in boxes for side in (-1, 1))]
    return min(
        (at for at in free if all(abs(at - middle) >= gap for middle in boxes)),
        key=lambda at: abs(at - x),
    )


def curve(points: list[tuple[float, float]]) -> str:
    """A path through the points that goes down through each."""
    (x, y), *others = points
    words = [f"M{x:.0f} {y:.0f}"]
    for to_x, to_y in others:
        half = (y + to_y) / 2
        words.append(f"C{x:.0f} {half:.0f} {to_x:.0f} {half:.0f} {to_x:.0f} {to_y:.0f}")
        x, y = to_x, to_y
    return " ".join(words)


def drawn() -> str:
    """The picture, as SVG."""
    rows = layers()
    edges, dagster = imports()
    arrows = reduced(edges)
    at = places(rows, sorted(arrows))
    width, height = BOX

    def y(row: int) -> int:
        return MARGIN + row * ROW

    parts: list[str] = []
    begins, arrives = ends(arrows, at, 0), ends(arrows, at, 1)
    for upper, lower in sorted(arrows):
        x1, x2 = begins[upper, lower], arrives[upper, lower]
        first, last = at[upper][1], at[lower][1]
        points = [(x1, y(first) + height)]
        for row in range(first + 1, last):
            x = x1 + (x2 - x1) * (row - first) / (last - first)
            beside = past([at[room][0] for room in rows[row]], x)
            points += [(beside, y(row)), (beside, y(row) + height)]
        points.append((x2, y(last) - 5))
        parts.append(f'<path d="{curve(points)}"><title>{upper} imports {lower}</title></path>')
    for room, (x, row) in sorted(at.items()):
        fill = KNOWS_DAGSTER if room in dagster else KNOWS_NONE
        parts.append(
            f'<rect x="{x - width / 2:.0f}" y="{y(row)}" width="{width}" height="{height}" rx="5" '
            f'fill="{fill}"/>'
        )
        parts.append(f'<text x="{x:.0f}" y="{y(row) + 24}">{escape(room)}</text>')
    legend = y(len(rows)) + 4
    for x, fill, words in (
        (MARGIN, KNOWS_DAGSTER, "imports Dagster"),
        (MARGIN + 190, KNOWS_NONE, "knows no Dagster"),
    ):
        parts.append(
            f'<rect x="{x}" y="{legend - 13}" width="18" height="18" rx="3" fill="{fill}"/>'
        )
        parts.append(f'<text x="{x + 26}" y="{legend + 1}" class="words">{words}</text>')
    lines = "\n".join(parts)
    total = legend + 20
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" role="img">
<title>The rooms of connector_pipeline and their imports</title>
<style>
  text {{ font: 15px system-ui, sans-serif; text-anchor: middle; fill: #1b1f24 }}
  .words {{ font-size: 13px; text-anchor: start }}
  rect {{ stroke: #8a94a3 }}
  path {{ fill: none; stroke: #8a94a3; stroke-width: 1.4; marker-end: url(#tip) }}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7"
  orient="auto"><polygon points="0 0 8 4 0 8" fill="#8a94a3"/></marker></defs>
<rect width="{WIDTH}" height="{total}" style="fill: #fff; stroke: none"/>
{lines}
</svg>
"""


if __name__ == "__main__":
    sys.stdout.write(drawn())
