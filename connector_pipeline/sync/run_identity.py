"""Which run works on shops, and on whose request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """One run of many shops or of one.

    `root_run_id` is the first run of those that were retried one after the other; it is `run_id`
    where none was. `retried`: the run takes the place of one that crashed. `requested_sync_id` is
    the requester's id of the sync: it names one sync of one shop, so a run over many ignores it.
    """

    run_id: str
    root_run_id: str
    retried: bool = False
    requested_sync_id: str | None = None
    correlation_id: str | None = None
