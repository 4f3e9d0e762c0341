"""A finding of `connector-pipeline doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, what was seen, what to do about it."""

    subject: str
    ok: bool
    seen: str
    remedy: str = ""
