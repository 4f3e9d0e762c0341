"""`connector-pipeline`, and `python -m connector_pipeline.cli`: from the start of the process."""

import signal
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback: while it is loaded, and twice."""
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:
        # Nothing is under way that had to be ended.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from connector_pipeline.cli.main import main as run

    if handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:
        # The second one, while the command ends by the first.
        sys.exit(130)


if __name__ == "__main__":
    main()
