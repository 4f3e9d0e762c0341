"""`--debug`: the traceback of an error, for whoever reports or repairs it."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

_FLAG: Final = "--debug"

DebugFlag = Annotated[
    bool, typer.Option(_FLAG, help="Print the traceback of an error, too; anywhere on the line.")
]


def debug_first(words: Sequence[str]) -> tuple[list[str], bool]:
    """The words with `--debug` before all others if it is one of them, and whether it is.

    It is an option of the program. Somebody whose command failed adds it at the end.
    """
    if _FLAG not in words:
        return list(words), False
    return [_FLAG, *(word for word in words if word != _FLAG)], True
