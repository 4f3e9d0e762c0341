"""A number of seconds in words."""


def in_words(seconds: float) -> str:
    """The time in the largest unit of which it has two, e.g. `90.0 s`, `2.5 hours`."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
