"""How long the platform's changes took until a sync's commit made them readable: its freshness.

Counted are the rows that a sync inserts, updates or revives, and of them those that the platform
changed while the shop was kept up to date: the platform's time of the row is later than the time
that the catalog has of it, and later than all of these:

- an hour before the shop's high-water mark. What changed earlier was readable then, so that another
  cause brought the row now: a new rule of ours, a filter, a stock that has no time. The hour is for
  a platform whose lists lag. A shop without a mark, as before its first full sync and after its
  registration changed, is not measured.
- the shop's last registration, pause, disconnection or return.

Deletions are not counted: the platforms do not state when they were. A platform's clock may be
ahead of ours; a time that lies in the future counts as 0 s ago. Clocks of platforms have whole
seconds.
"""

from typing import Final

_KEPT_SINCE: Final = """(
    SELECT greatest(high_water_mark - interval '1 hour', updated_at) FROM connector.shops
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s AND high_water_mark IS NOT NULL
)"""

NEWER_AT: Final = """
    CASE WHEN item.updated_at IS NULL OR staged.updated_at > item.updated_at
        THEN staged.updated_at END AS newer_at
"""
"""The platform's time of a staged row, if it is later than the one that the catalog has."""

TIMES_OF_CHANGES: Final = f"""
    percentile_disc(0.5) WITHIN GROUP (ORDER BY newer_at)
        FILTER (WHERE newer_at > {_KEPT_SINCE}) AS middle_change,
    min(newer_at) FILTER (WHERE newer_at > {_KEPT_SINCE}) AS first_change
"""
"""The middle and the first of those of these times that count."""
