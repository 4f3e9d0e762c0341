"""The terminal as a command finds it: streams that are closed, a width that nothing fits in."""

import os
import shutil
import sys
from typing import Final

_NARROWEST_HELP: Final = 60
"""Columns that a page of help needs: a narrower one cuts the names of options."""


def settle() -> None:
    """Make closed standard streams lead nowhere, and correct widths that hide what is printed.

    To be called first of all: a file or socket that is opened while standard output is closed
    takes its number, and would then receive the output.
    """
    for number, mode in ((0, "r"), (1, "w"), (2, "w")):
        _open_if_closed(number, mode)
    if os.environ.get("COLUMNS", "").strip("0 ") == "":
        # A terminal without a size says 0, and tables of no width have no text.
        os.environ.pop("COLUMNS", None)
    if shutil.get_terminal_size().columns < _NARROWEST_HELP:
        # Read by Typer when it prints help. A terminal breaks the lines, and nothing is lost.
        os.environ.setdefault("TERMINAL_WIDTH", str(_NARROWEST_HELP))


def _open_if_closed(number: int, mode: str) -> None:
    name = ("stdin", "stdout", "stderr")[number]
    if getattr(sys, name) is not None:
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
