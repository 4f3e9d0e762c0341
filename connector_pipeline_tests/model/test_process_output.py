"""What a process logs, and the tracebacks that it prints, have no secrets and move no terminal."""

import asyncio
import io
import logging
import subprocess
import sys
from collections.abc import Generator

import pytest

from connector_pipeline.model.process_output import guard_output, traceback_text
from connector_pipeline.model.redaction import SECRETS

TOKEN = "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"


@pytest.fixture
def log() -> Generator[tuple[logging.Logger, io.StringIO]]:
    """A logger as any library has it, with a handler that writes text."""
    guard_output()
    logger, written = logging.getLogger("a.library"), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    with SECRETS.holding():
        SECRETS.keep([TOKEN], while_held=True)
        yield logger, written
    logger.removeHandler(handler)


def test_arguments_and_exceptions_of_a_record_are_redacted(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    """A library logs a URL in an argument, and an exception with its cause."""
    logger, written = log
    logger.warning("asked %s with %r", f"https://x/?a={TOKEN}", TOKEN.encode())
    try:
        try:
            raise ValueError(f"first {TOKEN}")
        except ValueError as error:
            raise RuntimeError(f"then {TOKEN[:20]}\x1b[0m\ud800") from error
    except RuntimeError:
        logger.exception("failed")
    found = written.getvalue()
    assert "shpat" not in found
    assert "WARNING asked https://x/?a=*** with b'***'" in found
    assert "ValueError: first ***" in found
    assert "RuntimeError: then ***\\x1b[0m\\ud800" in found


def test_arguments_that_do_not_fit_are_shown_nowhere(
    log: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    """Python prints the arguments of such a record on standard error."""
    logger, written = log
    logger.warning("asked %d", TOKEN)
    assert "shpat" not in written.getvalue() + capsys.readouterr().err


def test_arguments_stay_where_nothing_is_to_be_hidden(
    log: tuple[logging.Logger, io.StringIO], caplog: pytest.LogCaptureFixture
) -> None:
    """Some formatters, uvicorn's for one, read the arguments themselves."""
    logger, _ = log
    logger.warning("%s answered %d", "GET /", 200)
    assert caplog.records[-1].args == ("GET /", 200)


async def test_what_asyncio_logs_of_a_forgotten_task_is_redacted(
    log: tuple[logging.Logger, io.StringIO], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody awaited it, so its exception goes to the log."""
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"Task of {TOKEN}", "exception": ValueError(TOKEN)}
    )
    assert caplog.records
    assert not any("shpat" in f"{each.getMessage()}{each.exc_text}" for each in caplog.records)


def test_a_group_of_exceptions_is_redacted_whole() -> None:
    """TaskGroups raise them, each with causes of its own."""
    with SECRETS.holding():
        SECRETS.keep([TOKEN], while_held=True)
        error = ExceptionGroup(TOKEN, [ValueError(TOKEN), ExceptionGroup("x", [OSError(TOKEN)])])
        error.add_note(f"noted {TOKEN}")
        assert "shpat" not in traceback_text(error)


ENDS = f"""
import sys, threading
from connector_pipeline.model.process_output import guard_output
from connector_pipeline.model.redaction import SECRETS
guard_output()
SECRETS.keep(["{TOKEN}"])
def fails():
    raise ValueError("{TOKEN}" + chr(27) + "]0;title")
class Broken:
    def __del__(self):
        fails()
thread = threading.Thread(target=fails)
thread.start()
thread.join()
Broken()
fails()
"""


def test_a_process_that_ends_by_an_exception_shows_no_secret() -> None:
    """Neither of the main thread, nor of another one, nor of a finalizer."""
    ended = subprocess.run(
        [sys.executable, "-c", ENDS.replace(f'"{TOKEN}"', f"'{TOKEN[:19]}' '{TOKEN[19:]}'")],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 1
    assert ended.stderr.count(b"ValueError: ***\\x1b]0;title") == 3
    assert b"\x1b" not in ended.stderr
