"""A number with its noun, as people read it."""


def counted(number: int, noun: str) -> str:
    """E.g. `1 shop`, `1,336 items`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
