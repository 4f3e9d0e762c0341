"""Compares each cell's outcome with the table in the docs, or writes the table anew."""

import os
from dataclasses import dataclass, field

from connector_pipeline_tests.faults import table
from connector_pipeline_tests.faults.running import CellOutcome


@dataclass
class Outcomes:
    """The outcomes that the docs state, and those of the cells that have run."""

    stated: dict[str, CellOutcome]
    ran: dict[str, CellOutcome] = field(default_factory=dict[str, CellOutcome])

    @classmethod
    def of_the_docs(cls) -> "Outcomes":
        """The outcomes that the docs state."""
        return cls(table.read(table.PAGE.read_text()))

    @property
    def writing(self) -> bool:
        """Whether the tables are written from this session."""
        return os.environ.get(table.VARIABLE) == "write"

    def ended(self, key: str, outcome: CellOutcome) -> None:
        """Compare a cell's outcome with the docs."""
        self.ran[key] = outcome
        if not self.writing:
            assert self.stated.get(key) == outcome, (
                f"docs/faults.md states another outcome. If the new one is right: {table.COMMAND}"
            )

    def write(self) -> None:
        """Write the tables; cells that did not run keep what the docs state of them."""
        if not self.writing:
            return
        known = self.stated | self.ran
        kept = {key: known[key] for key in table.all_keys() if key in known}
        table.PAGE.write_text(table.written(table.PAGE.read_text(), kept))
