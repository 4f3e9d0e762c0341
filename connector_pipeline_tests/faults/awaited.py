"""Cells that fail until a change comes that is under way elsewhere."""

from typing import Any, Final

import pytest

from connector_pipeline_tests.faults.cells import CELLS
from connector_pipeline_tests.faults.storage_cells import STORAGE_CELLS

_DRIPS: Final = "no bound on an answer as a whole"
_ENDLESS: Final = "no bound on a shop's pages"
_TEXT: Final = "texts of strangers enter messages as they are"
_LONG_IDS: Final = "a shop's ids may have any number of digits"
_INTERNAL: Final = "errors of the server itself are taken for defects"
_UNREADABLE: Final = "an archive that cannot be read is taken for a defect"


def _awaited() -> dict[str, str]:
    found: dict[str, str] = {}
    for key, cell in CELLS.items():
        if cell.fault.name == "drips":
            found[key] = _DRIPS
        elif cell.fault.name == "pages without end":
            found[key] = _ENDLESS
        elif (
            cell.phase.service == "shopify"
            and cell.phase.name != "count"
            and cell.fault.name in ("hostile text in a 400", "hostile text in GraphQL errors")
        ):
            found[key] = _TEXT
        elif (
            cell.phase.platform == "woocommerce"
            and cell.phase.name in ("first page", "later page", "variations")
            and cell.fault.name in ("ids of 20 digits", "ids of 4,000 digits")
        ):
            found[key] = _LONG_IDS
    for platform in ("shopify", "woocommerce"):
        for key, of_storage in STORAGE_CELLS.items():
            if of_storage.phase.startswith("Postgres") and of_storage.fault in (
                "read-only",
                "a torn page",
            ):
                found[f"{platform}: {key}"] = _INTERNAL
            elif of_storage.phase == "archive: read" and platform == "shopify":
                found[f"{platform}: {key}"] = _UNREADABLE
    return found


AWAITED: Final = _awaited()
"""The reasons, by the keys of the cells."""

_NOT_RUN: Final = (_DRIPS, _ENDLESS)
"""Until then these would take as long as a sync may."""


def marked(key: str, cell: Any) -> Any:
    """The cell as a parameter, expected to fail if it is awaited."""
    if key not in AWAITED:
        return cell
    reason = AWAITED[key]
    return pytest.param(
        cell, marks=pytest.mark.xfail(strict=True, reason=reason, run=reason not in _NOT_RUN)
    )
