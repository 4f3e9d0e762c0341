"""A finding of `connector-pipeline doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: the subject, whether it is in order, the observation, the remedy."""

    subject: str
    ok: bool
    seen: str
    remedy: str = ""
