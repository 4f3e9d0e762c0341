"""The garbage collector's work on what a process keeps until its end."""

import subprocess
import sys


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """A new process that has run the program."""
    return subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )


def test_imports_are_not_searched_again_and_again() -> None:
    """By default the collector starts 500 times while the definitions are imported."""
    run = ended(
        "import gc, connector_pipeline.definitions;"
        "print(sum(generation['collections'] for generation in gc.get_stats()))"
    )
    assert int(run.stdout) < 50


def test_what_is_imported_is_never_searched() -> None:
    """Dagster and the definitions are no garbage, and a run makes much less than they are."""
    run = ended(
        "import gc, connector_pipeline.definitions;"
        "print(gc.get_freeze_count() > 10 * len(gc.get_objects()))"
    )
    assert run.stdout.strip() == "True"


def test_garbage_is_still_collected() -> None:
    """Daemon and code server run for weeks."""
    run = ended(
        "import gc, weakref, connector_pipeline.definitions\n"
        "class Node: pass\n"
        "first = Node(); first.itself = first; seen = weakref.ref(first); del first\n"
        "kept = [[] for _ in range(200_000)]\n"
        "print(gc.isenabled(), seen())"
    )
    assert run.stdout.strip() == "True None"


def test_the_end_of_a_process_is_a_whole_one() -> None:
    """Functions for the exit run in their order, output is written, the exit status is right."""
    run = ended(
        "import atexit, sys\n"
        "atexit.register(print, 'registered before')\n"
        "import connector_pipeline\n"
        "atexit.register(print, 'registered after')\n"
        "print('output')\n"
        "sys.exit(3)"
    )
    assert run.stdout.splitlines() == ["output", "registered after", "registered before"]
    assert (run.returncode, run.stderr) == (3, "")


def test_the_last_garbage_is_left_to_the_operating_system() -> None:
    """A search of everything at the end took a fifth of a short run's time."""
    run = ended(
        "import connector_pipeline\n"
        "class Node:\n"
        "    def __del__(self): print('searched')\n"
        "first = Node(); first.itself = first; del first\n"
        "print('ends')"
    )
    assert run.stdout.split() == ["ends"]
