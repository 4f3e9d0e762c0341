"""Keeps Python's garbage collector from searching what a process keeps until its end.

A process imports some 250,000 objects and keeps them all. By default the collector searches the new
ones each time that there are 700 more of them, all of them now and then, and all of them again at
the process's end: 0.9 of the 2.2 CPU seconds that `import connector_pipeline.definitions` took.
"""

import atexit
import gc
from typing import Final

_NEW_OBJECTS: Final = 50_000
"""New objects between two searches of the new ones: a few megabytes if all of them are garbage."""


def expect_long_lives() -> None:
    """Search rarely from now on, and not at the process's end.

    The collector stays on, so that a process that lives on after a failed start keeps no garbage.
    Functions of `atexit` run, standard output is flushed and modules are taken down as ever. Only
    cycles that are left at the end are left to the operating system.
    """
    gc.set_threshold(_NEW_OBJECTS)
    # The first function registered runs last, so the others of the process still find their garbage
    # collected.
    atexit.register(gc.freeze)


def spare_what_is_there() -> None:
    """Never search again what exists now. For the end of a process's imports."""
    gc.freeze()
