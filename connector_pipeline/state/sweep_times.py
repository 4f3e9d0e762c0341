"""When the next sweep begins, for those who show it."""

from datetime import UTC, datetime

from cronsim import CronSim

from connector_pipeline.settings import Settings


def next_sweep_begins(settings: Settings) -> datetime:
    """The next time of SYNC_CRON, in UTC. Many shops are spread over an hour from then."""
    return next(CronSim(settings.sync_cron, datetime.now(UTC).replace(microsecond=0)))
