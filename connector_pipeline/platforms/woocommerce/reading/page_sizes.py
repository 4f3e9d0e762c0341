"""The sizes of the parts of a page, with which no object is missed or read twice."""


def smaller(size: int) -> int:
    """The largest size below `size` that divides it; 1 for 1."""
    return size // next((each for each in range(2, size + 1) if size % each == 0), size)
