"""A number of seconds in words."""


def in_words(seconds: float) -> str:
    """E.g. `0.42 s`, `12.3 s`, `4 min 5 s`, `2 h 10 min`, `3 days 4 h`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"
