"""Becomes another program that ends with its parent, even if the parent is killed.

`python -m connector_pipeline.cli.child PARENT_PID COMMAND…`. It is a program of its own, because
only the child itself can ask for that, and code between fork and exec is unsafe with threads.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Ask Linux for SIGTERM at the parent's death, then exec. Other systems offer no such thing."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            # The parent died before we asked.
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  our own supervisor's command


if __name__ == "__main__":
    main()
