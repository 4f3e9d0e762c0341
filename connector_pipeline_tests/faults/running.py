"""Runs one cell: the fault for as long as the sync asks, then the fault once, then no fault."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.sandbox.shopify.bulk_operations import BulkOperations
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import Platform
from connector_pipeline.sync.full_syncs import MISSES_SOMETHING
from connector_pipeline_tests.canaries import texts
from connector_pipeline_tests.faults.ages import EDITS, MOST_CELLS
from connector_pipeline_tests.faults.cells import PLAIN_HTTP, Cell
from connector_pipeline_tests.faults.phases import PHASES, Phase
from connector_pipeline_tests.faults.storage_cells import StorageCell
from connector_pipeline_tests.faults.troubled_files import PROTOCOL
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
    """How a sync ended: `code` is a word of `published` or the error's code.

    `retried`: the sync repeated a request, or the run the shop.
    """

    code: str
    retried: bool


@dataclass(frozen=True)
class CellOutcome:
    """The outcome of a sync under the fault for as long as it asks, and under the fault once.

    `once` is None where the fault cannot come only once.
    """

    lasting: Outcome
    once: Outcome | None


class Shops:
    """The shop of each phase. One that a failed cell left in disorder is not used again.

    Nor is one that was edited in MOST_CELLS cells, and so has other products than a new one.
    """

    def __init__(self, world: World):
        self._world = world
        self._shops: dict[str, SandboxShop] = {}
        self._cells: Counter[str] = Counter()
        self._edits: Counter[str] = Counter()

    def take(self, phase: Phase, edits: int | None = None) -> SandboxShop:
        """A shop whose catalog equals its truth; `give` returns it.

        It was edited so often; of None as often as it happens.
        """
        shop = self._shops.pop(phase.key, None)
        if shop is None or edits not in (None, self._edits[shop.key]):
            shop = self._world.shop(phase.platform, **phase.spec)
            for _ in range(edits or 0):
                self._world.edit(shop)
            self._edits[shop.key] = edits or 0
            ended = self._world.sync(shop, by_bulk=phase.by_bulk)
            assert ended.error is None, ended.error
            assert self._world.rows(shop) == self._world.truth(shop)
        return shop

    def give(self, phase: Phase, shop: SandboxShop, edits: int = 0) -> None:
        """Return the shop, which was edited so often since it was taken."""
        self._cells[shop.key] += 1
        self._edits[shop.key] += edits
        if self._cells[shop.key] < MOST_CELLS:
            self._shops[phase.key] = shop


def run_cell(world: World, shops: Shops, cell: Cell) -> CellOutcome:
    """Run the cell, hold its promises, and return its outcome."""
    phase = cell.phase
    shop = shops.take(phase, EDITS[cell.key])
    before = world.rows(shop)
    world.edit(shop)
    lasting = _faulted(world, cell, shop, before, times=None)
    once = None
    if not cell.fault.closed:
        between = world.rows(shop)
        world.edit(shop)
        once = _faulted(world, cell, shop, between, times=1)
    if world.rows(shop) != world.truth(shop) or once is None or once.code != "published":
        healthy = world.sync(shop, by_bulk=phase.by_bulk)
        assert healthy.error is None, str(healthy.error)
        assert healthy.manifest is not None
        assert MISSES_SOMETHING not in healthy.manifest.warnings
    assert world.rows(shop) == world.truth(shop)
    assert _state(world, shop) == (ShopState.ACTIVE, 0, None)
    shops.give(phase, shop, edits=1 if cell.fault.closed else 2)
    return CellOutcome(lasting, once)


def _faulted(
    world: World, cell: Cell, shop: SandboxShop, before: Rows, *, times: int | None
) -> Outcome:
    phase, fault = cell.phase, cell.fault
    truth = world.truth(shop)
    patience = IMPATIENT if fault.slow else PATIENT
    if phase.by_bulk:
        # No operation of an earlier sync is left, and any of this one is newer than that sync.
        shop.bulk = BulkOperations(shop.spec.domain)
        world.an_hour_later(shop)
    if fault.closed:
        ended = _with_a_closed_port(world, phase, shop)
    else:
        match = {"platform": phase.service, "domain": shop.spec.domain, **phase.match}
        world.sandbox.faults.set([{"match": match, "times": times, **_rule(world, cell, shop)}])
        ended = world.sync(shop, by_bulk=phase.by_bulk, patience=patience)
        [rule] = world.sandbox.faults.as_json()
        assert rule["applied"], "the fault came to no request"
        world.sandbox.faults.clear()
    rows = world.rows(shop)
    assert ended.requests <= MOST_REQUESTS
    legible(ended, shop)
    found = world.canaries.search([texts("messages", str(ended.error), *ended.log)])
    assert found == []
    state, failures, code = _state(world, shop)
    assert state is ShopState.ACTIVE
    # The manifest does not count the retries of the question for credentials.
    retried = retried_by_itself(ended) or (phase.name == "token" and ended.tokens > 1)
    if ended.error is None:
        assert (failures, ended.published is not None) == (0, True)
        return Outcome(published(ended, rows, before, truth), retried=retried)
    assert rows == before, "a failed sync changed the catalog"
    assert failures > 0
    assert code == ended.error.code
    assert ended.error.code != "Defect", str(ended.error)
    return Outcome(ended.error.code, retried=retried)


def leave(world: World, shops: Shops, cell: Cell) -> tuple[Ended, SandboxShop]:
    """Run a sync under the fault and leave everything as it is: no sync without it follows.

    The platform quotes the shop's credentials in its error, where the fault is one with a text.
    """
    shop = shops.take(cell.phase)
    world.edit(shop)
    rule = _rule(world, cell, shop)
    said = f"You sent {' and '.join(world.secrets(shop))}"
    if rule["kind"] == "status":
        rule["headers"] = {**rule["headers"], "X-Said": said}
    elif rule["kind"] == "html":
        rule["body"] = f"<html>{said}</html>"
    elif rule["kind"] == "body" and rule.get("status", 200) >= 400:
        rule["body"] = {"code": "bad", "message": said, "errors": said}
    match = {"platform": cell.phase.service, "domain": shop.spec.domain, **cell.phase.match}
    world.sandbox.faults.set([{"match": match, **rule}])
    ended = world.sync(shop, by_bulk=cell.phase.by_bulk)
    world.sandbox.faults.clear()
    return ended, shop


def leave_stored(
    world: World, shops: Shops, platform: Platform, cell: StorageCell
) -> tuple[Ended, SandboxShop]:
    """The same for a fault of the storage."""
    shop = shops.take(Phase(platform, "storage", platform))
    world.edit(shop)
    with cell.played(world, None):
        ended = world.sync(shop, archive=_troubled(world))
    return ended, shop


def _rule(world: World, cell: Cell, shop: SandboxShop) -> dict[str, Any]:
    rule = cell.rule
    if rule.get("location") == PLAIN_HTTP:
        rule["location"] = f"{world.plain_url}/{shop.spec.platform}/{shop.spec.domain}/"
    return rule


def retried_by_itself(ended: Ended) -> bool:
    """Whether the sync repeated a request, or the run the shop."""
    retries = 0 if ended.manifest is None else ended.manifest.retries
    return retries > 0 or any("once more" in line for line in ended.log)


def published(ended: Ended, rows: Rows, before: Rows, truth: Rows) -> str:
    """The word for what was published. Fails for a row that is neither new nor old."""
    assert ended.manifest is not None
    lost = truth.keys() & before.keys() - rows.keys()
    assert not lost, f"wrongly deleted: {lost}"
    as_sent = 0
    for key, row in rows.items():
        if row == truth.get(key):
            continue
        true = truth.get(key)
        if true is not None and {name for name in row if row[name] != true[name]} <= _AS_SENT:
            as_sent += 1
        else:
            assert row == before.get(key), f"neither old nor new: {row} for {true}"
    if rows == truth and MISSES_SOMETHING not in ended.manifest.warnings:
        return "published"
    return "published, as sent" if as_sent else "published, not in full"


def _state(world: World, shop: SandboxShop) -> tuple[Any, int, str | None]:
    registered = world.registry.get(shop.key)
    return registered.state, registered.consecutive_failures, registered.last_error_code


JOINER_OF_EMOJI: Final = "\u200d"


def legible(ended: Ended, shop: SandboxShop) -> None:
    """Hold that an operator can read the log and the error, on any terminal."""
    for line in ended.log:
        assert len(line.encode()) <= MOST_TEXT, line[:300]
        assert line.replace(JOINER_OF_EMOJI, "").isprintable(), ascii(line)
    if ended.error is None:
        return
    text = str(ended.error)
    assert len(text.encode()) <= MOST_TEXT, text[:300]
    assert text.replace(JOINER_OF_EMOJI, "").isprintable(), ascii(text)
    assert text.startswith(f"{shop.key}: ")
    assert ended.error.message.rstrip().endswith((".", ")")), text
    assert _REMEDY.search(ended.error.remedy), text


def run_storage_cell(
    world: World, shops: Shops, platform: Platform, cell: StorageCell
) -> CellOutcome:
    """Run a cell of the storage as `run_cell` runs one of a platform."""
    phase = Phase(platform, "storage", platform)
    shop = shops.take(phase)
    before = world.rows(shop)
    world.edit(shop)
    lasting = _stored(world, cell, shop, before, times=None)
    once = None
    if cell.once:
        between = world.rows(shop)
        world.edit(shop)
        once = _stored(world, cell, shop, between, times=1)
    if world.rows(shop) != world.truth(shop) or once is None or once.code != "published":
        healthy = world.sync(shop, archive=_troubled(world))
        assert healthy.error is None, str(healthy.error)
    assert world.rows(shop) == world.truth(shop)
    assert _state(world, shop) == (ShopState.ACTIVE, 0, None)
    shops.give(phase, shop)
    return CellOutcome(lasting, once)


def _troubled(world: World) -> RawArchive:
    return RawArchive(url=f"{PROTOCOL}://{world.archive_url}", keep=2)


def _stored(
    world: World, cell: StorageCell, shop: SandboxShop, before: Rows, *, times: int | None
) -> Outcome:
    with cell.played(world, times):
        ended = world.sync(shop, archive=_troubled(world))
    rows = world.rows(shop)
    legible(ended, shop)
    state, failures, code = _state(world, shop)
    assert state is ShopState.ACTIVE
    if ended.error is None:
        word = published(ended, rows, before, world.truth(shop))
        return Outcome(word, retried=retried_by_itself(ended))
    assert rows == before, "a failed sync changed the catalog"
    assert ended.error.code != "Defect", str(ended.error)
    if cell.recorded:
        assert failures > 0
        assert code == ended.error.code
    return Outcome(ended.error.code, retried=retried_by_itself(ended))


def _with_a_closed_port(world: World, phase: Phase, shop: SandboxShop) -> Ended:
    closed = f"http://127.0.0.1:{world.closed_port}"
    if phase.name == "token":
        return world.sync(shop, token_service_url=f"{closed}/token-service")
    if phase.name == "bulk download":
        match = {**PHASES["shopify: bulk poll"].match, "domain": shop.spec.domain}
        edits = [{"path": ["data", "bulkOperation", "url"], "value": f"{closed}/storage/x"}]
        world.sandbox.faults.set([{"match": match, "kind": "edit", "edits": edits}])
        ended = world.sync(shop, by_bulk=True)
        world.sandbox.faults.clear()
        return ended
    adapters = {
        name: replace(adapter, base_url=f"{closed}/{name}/{{domain}}")
        for name, adapter in world.adapters(by_bulk=phase.by_bulk).items()
    }
    return world.sync(shop, by_bulk=phase.by_bulk, adapters=adapters)
