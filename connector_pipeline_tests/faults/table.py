"""The table of outcomes in docs/faults.md: written from what the cells did, and read back."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from connector_pipeline_tests.faults.cells import CELLS, FAULTS
from connector_pipeline_tests.faults.phases import SHOPIFY, WOOCOMMERCE
from connector_pipeline_tests.faults.running import CellOutcome, Outcome
from connector_pipeline_tests.faults.storage_cells import STORAGE_CELLS

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"
VARIABLE: Final = "CONNECTOR_FAULT_TABLE"
COMMAND: Final = f"{VARIABLE}=write .venv/bin/pytest connector_pipeline_tests/faults"

_BEGIN: Final = "<!-- The tests in connector_pipeline_tests/faults write these tables. -->"
_END: Final = "<!-- The end of the tables that the tests write. -->"
_BETWEEN_NAMES: Final = " · "
_NONE: Final = "\u2013"

WORDS: Final = {
    "published": "✓",
    "published, not in full": "◐",
    "published, as sent": "≈",
    "PlatformUnavailable": "PU",
    "RateLimited": "RL",
    "InvalidResponse": "IR",
    "AccessRefused": "AR",
    "CurrencyUnknown": "CU",
    "DeadlineExceeded": "DE",
    "TokenServiceUnavailable": "TS",
    "ArchiveUnavailable": "AU",
    "SnapshotMissing": "SM",
    "DatabaseUnavailable": "DB",
}
_OUTCOMES: Final = {word: outcome for outcome, word in WORDS.items()}
_MARK: Final = "↻"

STORAGE: Final = "storage"
PLATFORMS: Final = ("shopify", "woocommerce")


def storage_key(platform: str, key: str) -> str:
    """The key of a cell of the storage, of the sync of one platform's shop."""
    return f"{platform}: {key}"


def all_keys() -> list[str]:
    """The keys of all cells."""
    of_storage = [storage_key(name, key) for name in PLATFORMS for key in STORAGE_CELLS]
    return [*CELLS, *of_storage]


def block(outcomes: Mapping[str, CellOutcome]) -> str:
    """The tables, with their markers."""
    parts = [
        _BEGIN,
        "",
        f"{len(outcomes)} cells, each run as two syncs and one more without fault.",
    ]
    for title, phases in (("Shopify", SHOPIFY), ("WooCommerce", WOOCOMMERCE)):
        rows = {
            fault.name: [_text(outcomes.get(f"{phase.key}: {fault.name}")) for phase in phases]
            for fault in FAULTS
        }
        parts += ["", *_table(title, [phase.name for phase in phases], rows)]
    phases_of_storage = list(dict.fromkeys(cell.phase for cell in STORAGE_CELLS.values()))
    for room in ("archive", "Postgres"):
        names = [name for name in phases_of_storage if name.startswith(room)]
        faults = dict.fromkeys(c.fault for c in STORAGE_CELLS.values() if c.phase in names)
        rows = {fault: [_of_storage(outcomes, name, fault) for name in names] for fault in faults}
        columns = [name.partition(": ")[2] for name in names]
        parts += ["", *_table(room.capitalize(), columns, rows)]
    return "\n".join([*parts, "", _END])


def written(page: str, outcomes: Mapping[str, CellOutcome]) -> str:
    """The page with the tables of these outcomes."""
    begin, end = page.index(_BEGIN), page.index(_END) + len(_END)
    return page[:begin] + block(outcomes) + page[end:]


def block_of(page: str) -> str:
    """The tables as the page has them."""
    return page[page.index(_BEGIN) : page.index(_END) + len(_END)]


def read(page: str) -> dict[str, CellOutcome]:
    """The outcomes that the page's tables state, by the keys of the cells."""
    found: dict[str, CellOutcome] = {}
    title, columns = "", list[str]()
    for line in block_of(page).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("| ") or set(cells[0]) == {"-"}:
            continue
        if cells[0] in ("Shopify", "WooCommerce", "Archive", "Postgres"):
            title, columns = cells[0], cells[1:]
            continue
        for fault in cells[0].split(_BETWEEN_NAMES):
            for column, text in zip(columns, cells[1:], strict=True):
                found |= _parsed(title, column, fault, text)
    return found


def _parsed(title: str, column: str, fault: str, text: str) -> dict[str, CellOutcome]:
    if text == _NONE:
        return {}
    if title in ("Shopify", "WooCommerce"):
        return {f"{title.lower()}: {column}: {fault}": _outcome(text)}
    phase = f"{'archive' if title == 'Archive' else title}: {column}: {fault}"
    of_each = text.split(" ‖ ")
    of_each = of_each * 2 if len(of_each) == 1 else of_each
    return {
        storage_key(name, phase): _outcome(each)
        for name, each in zip(PLATFORMS, of_each, strict=True)
        if each != _NONE
    }


def _table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Iterable[str]:
    yield f"| {title} | {' | '.join(columns)} |"
    yield "| --- " * (len(columns) + 1) + "|"
    by_outcome: dict[tuple[str, ...], list[str]] = {}
    for fault, texts in rows.items():
        if set(texts) != {_NONE}:
            by_outcome.setdefault(tuple(texts), []).append(fault)
    for texts, faults in by_outcome.items():
        yield f"| {_BETWEEN_NAMES.join(faults)} | {' | '.join(texts)} |"


def _of_storage(outcomes: Mapping[str, CellOutcome], phase: str, fault: str) -> str:
    texts = [_text(outcomes.get(f"{name}: {phase}: {fault}")) for name in PLATFORMS]
    return " ‖ ".join(text for text, _ in groupby(texts))


def _text(outcome: CellOutcome | None) -> str:
    if outcome is None:
        return _NONE
    each = [_word(outcome.lasting)]
    if outcome.once is not None:
        each.append(_word(outcome.once))
    return " / ".join(each) if len(each) == 2 else f"{each[0]} /"


def _word(outcome: Outcome) -> str:
    return WORDS[outcome.code] + (_MARK if outcome.retried else "")


def _outcome(text: str) -> CellOutcome:
    lasting, once = re.fullmatch(r"(\S+) /(?: (\S+))?", text).groups()  # pyright: ignore
    return CellOutcome(_of(lasting), None if once is None else _of(once))


def _of(text: str) -> Outcome:
    return Outcome(_OUTCOMES[text.removesuffix(_MARK)], retried=text.endswith(_MARK))
