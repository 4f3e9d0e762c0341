"""Judge shops by what is expected of their catalogs: pure decisions, without a database."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from connector_pipeline.catalog.shop_facts import ShopFacts
from connector_pipeline.catalog.staging import MOST_REJECTS_KEPT
from connector_pipeline.model.currency import ACTIVE_CURRENCIES
from connector_pipeline.model.shop_state import ShopState

REJECTED_IN_HUNDRED: Final = 1
"""From this share on, rejected variants are more than the odd broken product."""

OLDEST_FULL_SYNC: Final = timedelta(hours=48)
"""Twice the day within which a shop is to be read in full: one failed attempt is no finding."""

_NAMED_CURRENCIES: Final = 5


@dataclass(frozen=True, slots=True)
class Shortfall:
    """How a shop falls short: in words with numbers, and by a weight that ranks the shops."""

    words: str
    weight: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """One check: what it expects, the remedy, and whether a shop that fails it misleads readers."""

    name: str
    description: str
    remedy: str
    misleads_readers: bool
    shortfall: Callable[[ShopFacts, datetime], Shortfall | None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many shops were judged by one expectation, and those that fall short, worst first.

    `others_failing` fell short before, and are known by their number alone.
    """

    expectation: Expectation
    judged: int
    failing: tuple[tuple[str, Shortfall], ...]
    others_failing: int = 0

    @property
    def passed(self) -> bool:
        return not self.failing and not self.others_failing

    @property
    def words(self) -> str:
        """The judgement in words for the person on call."""
        if self.passed:
            if not self.judged:
                return "There was no shop to judge."
            return f"{_number(self.judged, 'shop')} judged, none falls short."
        others = (
            f" {_number(self.others_failing, 'other shop')} fell short when all were last judged."
            if self.others_failing
            else ""
        )
        if not self.failing:
            return f"{others.strip()} {self.expectation.remedy}"
        key, worst = self.failing[0]
        found = f"{key}: {worst.words}."
        if self.judged > 1:
            found = f"{len(self.failing)} of {self.judged} shops fall short, the worst: {found}"
        return f"{found}{others} {self.expectation.remedy}"


def judge(
    expectation: Expectation,
    shops: Iterable[ShopFacts],
    now: datetime,
    *,
    others_failing: int = 0,
) -> Judgement:
    """Judge these shops at this time."""
    judged = 0
    failing: list[tuple[str, Shortfall]] = []
    for shop in shops:
        judged += 1
        if (shortfall := expectation.shortfall(shop, now)) is not None:
            failing.append((shop.partition_key, shortfall))
    failing.sort(key=lambda found: (-found[1].weight, found[0]))
    return Judgement(expectation, judged, tuple(failing), others_failing)


def _repeated_ids(shop: ShopFacts, now: datetime) -> Shortfall | None:
    if shop.duplicates == 0:
        return None
    return Shortfall(f"{_number(shop.duplicates, 'repeated variant')}", shop.duplicates)


def _negative_prices(shop: ShopFacts, now: datetime) -> Shortfall | None:
    return _items(shop, shop.negative_prices, "below 0")


def _empty_titles(shop: ShopFacts, now: datetime) -> Shortfall | None:
    return _items(shop, shop.empty_titles, "without a title")


def _unknown_currencies(shop: ShopFacts, now: datetime) -> Shortfall | None:
    unknown = {
        code: items
        for code, items in (shop.currencies or {}).items()
        if code not in ACTIVE_CURRENCIES
    }
    named = ", ".join(sorted(unknown, key=lambda code: (-unknown[code], code))[:_NAMED_CURRENCIES])
    return _items(shop, sum(unknown.values()), f"in {named}")


def _many_rejects(shop: ShopFacts, now: datetime) -> Shortfall | None:
    # A rejected variant that keeps its last good row is counted twice in `known`. At one in a
    # hundred that makes no difference.
    known = shop.items + shop.rejected
    few = shop.rejected * 100 < known * REJECTED_IN_HUNDRED and shop.rejected < MOST_REJECTS_KEPT
    if shop.rejected == 0 or few:
        return None
    part = shop.rejected / known
    # More are counted by their sync and not kept.
    at_least = "at least " if shop.rejected >= MOST_REJECTS_KEPT else ""
    return Shortfall(f"{at_least}{shop.rejected} of {known} variants rejected ({part:.1%})", part)


def _incomplete_snapshot(shop: ShopFacts, now: datetime) -> Shortfall | None:
    if not shop.incomplete:
        return None
    return Shortfall("the last full snapshot is incomplete", 1)


def _old_full_sync(shop: ShopFacts, now: datetime) -> Shortfall | None:
    if shop.state != ShopState.ACTIVE:
        # Nobody syncs it: that is an operator's wish, or the business of `shop_health`.
        return None
    # A shop that was just registered has as long as any other for its first full sync.
    age = now - (shop.last_full_sync_at or shop.registered_at)
    if age <= OLDEST_FULL_SYNC:
        return None
    hours = age / timedelta(hours=1)
    if shop.last_full_sync_at is None:
        return Shortfall(f"registered {hours:.0f} h ago and never read in full", hours)
    return Shortfall(f"last read in full {hours:.0f} h ago", hours)


def _failing_full_syncs(shop: ShopFacts, now: datetime) -> Shortfall | None:
    since = shop.full_sync_failing_since
    if since is None or shop.state != ShopState.ACTIVE:
        return None
    hours = (now - since) / timedelta(hours=1)
    return Shortfall(
        f"full syncs have failed for {hours:.1f} h ({shop.full_sync_error_code})", hours
    )


def _items(shop: ShopFacts, number: int, what: str) -> Shortfall | None:
    if number == 0:
        return None
    return Shortfall(f"{number} of {_number(shop.items, 'item')} {what}", number)


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


EXPECTATIONS: Final = (
    Expectation(
        name="variant_ids_unique",
        description=(
            "A snapshot has each variant once. Of repeated variants the catalog keeps the later "
            "copy: its primary key holds a variant once per shop."
        ),
        remedy="The shop changed while it was read; if the next sync finds repeated variants too, "
        "the platform repeats ids.",
        misleads_readers=False,
        shortfall=_repeated_ids,
    ),
    Expectation(
        name="prices_not_negative",
        description="No live item costs less than nothing.",
        remedy="Ask the merchant to correct the prices, then sync again.",
        misleads_readers=True,
        shortfall=_negative_prices,
    ),
    Expectation(
        name="currency_known",
        description="Every live item's currency is an active code of ISO 4217.",
        remedy="Correct the shop's settings, or `shops add SHOP --merchant-id M --currency CUR`, "
        "then sync again.",
        misleads_readers=True,
        shortfall=_unknown_currencies,
    ),
    Expectation(
        name="titles_not_empty",
        description="Every live item has a product title and a variant title.",
        remedy="Ask the merchant for titles; the items are published as they are.",
        misleads_readers=False,
        shortfall=_empty_titles,
    ),
    Expectation(
        name="rejects_under_one_percent",
        description="Fewer than 1 % of the shop's variants could not be normalized.",
        remedy="`connector-pipeline catalog rejects SHOP` shows why.",
        misleads_readers=False,
        shortfall=_many_rejects,
    ),
    Expectation(
        name="snapshot_complete",
        description="The last full snapshot has everything that the platform counts, but for what "
        "is explained.",
        remedy="No item was deleted for being absent from it; if it persists, see the warnings of "
        "`raw_products`.",
        misleads_readers=False,
        shortfall=_incomplete_snapshot,
    ),
    Expectation(
        name="last_full_sync_recent",
        description=(
            "A full sync that left no deletion open started within the last 48 hours: its snapshot "
            "was complete, or the platform, asked by id, confirmed that every absent item is gone."
        ),
        remedy="Sync it: `connector-pipeline sync SHOP --type full`.",
        misleads_readers=False,
        shortfall=_old_full_sync,
    ),
    Expectation(
        name="full_syncs_succeed",
        description=(
            "The last full sync counted: it was not refused, did not fail, and missed nothing. "
            "Until one does, syncs bring changes only, and what is gone may still be in the "
            "catalog."
        ),
        remedy="`connector-pipeline sync SHOP --type full` tries again and shows why; if most of "
        "the shop is really gone, `--allow-shrink` confirms it.",
        misleads_readers=True,
        shortfall=_failing_full_syncs,
    ),
)
