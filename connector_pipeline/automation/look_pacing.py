"""When the next look at a shop's change feed is due: after a look, and after a sync.

Pure decisions; `state/look_distances.py` has the arithmetic and the reasons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector_pipeline.automation.cron_times import CronTimes
from connector_pipeline.model.hint import Hint
from connector_pipeline.platforms.kit.webhooks import Changes
from connector_pipeline.settings import Settings
from connector_pipeline.state.change_looks import DueShop, Look
from connector_pipeline.state.look_distances import (
    distance,
    distance_after_failures,
    distinct_changes,
    price_of_a_look,
    rate_after,
    wanted_rate,
)


@dataclass(frozen=True, slots=True)
class Pacing:
    """It decides the distances of looks at a tick; see `state/look_distances.py`."""

    price: float
    every: timedelta
    sweeps: timedelta

    @classmethod
    def of(cls, rates: Mapping[float, int], settings: Settings, now: datetime) -> "Pacing":
        """The pacing for shops of these wanted rates."""
        times = CronTimes.around(settings.sync_cron, now)
        every, sweeps = settings.change_look_every, times.next - times.last
        price = price_of_a_look(
            rates, per_minute=settings.change_looks_per_minute, every=every, sweeps=sweeps
        )
        return cls(price, every, sweeps)

    def distance(self, due: DueShop, rate: float) -> timedelta:
        """How long after a look the next one at this shop is."""
        wanted = wanted_rate(rate, has_webhooks=due.has_webhooks)
        return distance(wanted, self.price, every=self.every, sweeps=self.sweeps)


def after_its_sync(due: DueShop, pacing: Pacing) -> Look | None:
    """The look as which a shop's newer sync counts; None without such a sync."""
    if due.looked_at is not None and due.synced_at <= due.looked_at:
        return None
    before = due.synced_at if due.looked_at is None else due.looked_at
    rate = due.changes_an_hour
    if due.looked_at is not None:
        changes = int(bool(due.sync_changed))
        rate = rate_after(rate, changes=changes, elapsed=due.synced_at - before)
    look_at = due.synced_at + pacing.distance(due, rate)
    return Look(due, due.synced_at, look_at, rate, due.cursor, failures=due.failures)


def after_a_look(
    due: DueShop, changes: Changes, left: Sequence[Hint], pacing: Pacing, began: datetime
) -> Look:
    """The look to remember; `left` are those of its hints that are to be put."""
    before = due.looked_at or due.synced_at
    times = [hint.changed_at for hint in left]
    # The catalog may hold a change already, from a webhook: the shop has changed all the same.
    times += [
        hint.changed_at for hint in changes.hints if hint.changed_at and hint.changed_at > before
    ]
    number = distinct_changes(times, every=pacing.every)
    rate = rate_after(due.changes_an_hour, changes=number, elapsed=began - before)
    look_at = began + pacing.distance(due, rate)
    return Look(due, began, look_at, rate, changes.cursor, changed=number > 0)


def after_a_failure(due: DueShop, pacing: Pacing, began: datetime) -> Look:
    """The look to remember where it failed."""
    usual = pacing.distance(due, due.changes_an_hour)
    look_at = began + distance_after_failures(due.failures + 1, usual)
    seen = due.looked_at or due.synced_at
    return Look(due, seen, look_at, due.changes_an_hour, due.cursor, failures=due.failures + 1)
