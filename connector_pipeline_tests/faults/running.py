"""Runs one cell: the fault for as long as the sync asks, then the fault once, then no fault."""

import re
from dataclasses import dataclass
from typing import Any, Final

from connector_pipeline.model.shop import ShopState
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline_tests.canaries import texts
from connector_pipeline_tests.faults.cells import Cell
from connector_pipeline_tests.faults.phases import Phase
from connector_pipeline_tests.faults.world import IMPATIENT, PATIENT, Ended, Rows, World

MOST_REQUESTS: Final = 200
"""A sync of these shops of some twenty variants asks no more often, whatever it is answered."""
MOST_TEXT: Final = 1_500
"""Bytes of an error with its remedy, and of any line of the log."""
_REMEDY: Final = re.compile(
    r"retr|next sync|[Aa]gain|resume|reconnect|Check |Ask |Set |Register|Materialize|report"
)
_AS_SENT: Final = frozenset({"updated_at", "created_at"})


@dataclass(frozen=True)
class Outcome:
    """How a sync ended: `code` is "published", "published, not in full" or the error's code.

    `tries`: how often the sync asked the question to which the fault came.
    """

    code: str
    retried: bool

    def __str__(self) -> str:
        return f"{self.code}{' ↻' if self.retried else ''}"


@dataclass(frozen=True)
class CellOutcome:
    """The outcome of a sync under the fault for as long as it asks, and under the fault once."""

    lasting: Outcome
    once: Outcome


class Shops:
    """The shop of each phase. One that a failed cell left in disorder is not used again."""

    def __init__(self, world: World):
        self._world = world
        self._shops: dict[str, SandboxShop] = {}

    def take(self, phase: Phase) -> SandboxShop:
        """A shop whose catalog equals its truth; `give` returns it."""
        shop = self._shops.pop(phase.key, None)
        if shop is None:
            shop = self._world.shop(phase.platform, **phase.spec)
            ended = self._world.sync(shop, by_bulk=phase.by_bulk)
            assert ended.error is None, ended.error
            assert self._world.rows(shop) == self._world.truth(shop)
        return shop

    def give(self, phase: Phase, shop: SandboxShop) -> None:
        """Return the shop."""
        self._shops[phase.key] = shop


def run_cell(world: World, shops: Shops, cell: Cell) -> CellOutcome:
    """Run the cell, hold its promises, and return its outcome."""
    phase = cell.phase
    shop = shops.take(phase)
    before = world.rows(shop)
    world.edit(shop)
    lasting = _faulted(world, cell, shop, before, times=None)
    between = world.rows(shop)
    once = _faulted(world, cell, shop, between, times=1)
    if world.rows(shop) != world.truth(shop) or not once.code == "published":
        healthy = world.sync(shop, by_bulk=phase.by_bulk)
        assert healthy.error is None, str(healthy.error)
        assert healthy.manifest is not None
        assert healthy.manifest.complete
    assert world.rows(shop) == world.truth(shop)
    assert _state(world, shop) == (ShopState.ACTIVE, 0, None)
    shops.give(phase, shop)
    return CellOutcome(lasting, once)


def _faulted(
    world: World, cell: Cell, shop: SandboxShop, before: Rows, *, times: int | None
) -> Outcome:
    phase, fault = cell.phase, cell.fault
    truth = world.truth(shop)
    patience = IMPATIENT if fault.slow else PATIENT
    if fault.closed:
        if times is not None:
            return Outcome("", retried=False)
        ended, applied = _with_a_closed_port(world, phase, shop)
    else:
        match = {"platform": phase.service, "domain": shop.spec.domain, **phase.match}
        world.sandbox.faults.set([{"match": match, "times": times, **cell.rule}])
        ended = world.sync(shop, by_bulk=phase.by_bulk, patience=patience)
        [rule] = world.sandbox.faults.as_json()
        applied = rule["matched"]
        assert rule["applied"], "the fault came to no request"
        world.sandbox.faults.clear()
    rows = world.rows(shop)
    assert ended.requests <= MOST_REQUESTS
    _legible(ended, shop)
    found = world.canaries.search([texts("messages", str(ended.error), *ended.log)])
    assert found == []
    state, failures, code = _state(world, shop)
    assert state is ShopState.ACTIVE
    if ended.error is None:
        assert (failures, ended.published is not None) == (0, True)
        return Outcome(_published(ended, rows, before, truth), retried=_retried(ended, applied))
    assert rows == before, "a failed sync changed the catalog"
    assert failures > 0
    assert code == ended.error.code
    assert ended.error.code != "Defect", str(ended.error)
    return Outcome(ended.error.code, retried=_retried(ended, applied))


def _retried(ended: Ended, matched: int) -> bool:
    if ended.manifest is not None:
        return ended.manifest.retries > 0 or any("once more" in line for line in ended.log)
    return any("once more" in line for line in ended.log)


def _published(ended: Ended, rows: Rows, before: Rows, truth: Rows) -> str:
    """The word for what was published. Fails for a row that is neither new nor old."""
    assert ended.manifest is not None
    wrong = {
        key: row for key, row in rows.items() if row not in (truth.get(key), before.get(key))
    }
    for key, row in wrong.items():
        likened = truth.get(key) or before.get(key)
        assert likened is not None, f"an invented row: {row}"
        differing = {name for name in row if row[name] != likened[name]}
        assert differing <= _AS_SENT, f"{row} for {likened}"
    lost = truth.keys() & before.keys() - rows.keys()
    assert not lost, f"wrongly deleted: {lost}"
    if wrong:
        return "published, as sent"
    if rows == truth and ended.manifest.complete:
        return "published"
    return "published, not in full"


def _state(world: World, shop: SandboxShop) -> tuple[Any, int, str | None]:
    registered = world.registry.get(shop.key)
    return registered.state, registered.consecutive_failures, registered.last_error_code


def _legible(ended: Ended, shop: SandboxShop) -> None:
    for line in ended.log:
        assert len(line.encode()) <= MOST_TEXT, line[:300]
        assert line.isprintable(), ascii(line)
    if ended.error is None:
        return
    text = str(ended.error)
    assert len(text.encode()) <= MOST_TEXT, text[:300]
    assert text.isprintable(), ascii(text)
    assert text.startswith(f"{shop.key}: ")
    assert ended.error.message.rstrip().endswith((".", ")")), text
    assert _REMEDY.search(ended.error.remedy), text


def _with_a_closed_port(world: World, phase: Phase, shop: SandboxShop) -> tuple[Ended, int]:
    closed = f"http://127.0.0.1:{world.closed_port}"
    if phase.name == "token":
        return world.sync(shop, token_service_url=f"{closed}/token-service"), 1
    if phase.name == "bulk download":
        match = {"platform": "shopify", "domain": shop.spec.domain, "body_contains": "query PollBulk("}
        edits = [{"path": ["data", "bulkOperation", "url"], "value": f"{closed}/storage/x"}]
        world.sandbox.faults.set([{"match": match, "kind": "edit", "edits": edits}])
        ended = world.sync(shop, by_bulk=True)
        world.sandbox.faults.clear()
        return ended, 1
    from dataclasses import replace

    adapters = {
        name: replace(adapter, base_url=f"{closed}/{name}/{{domain}}")
        for name, adapter in world.adapters(by_bulk=phase.by_bulk).items()
    }
    return world.sync(shop, by_bulk=phase.by_bulk, adapters=adapters), 1
