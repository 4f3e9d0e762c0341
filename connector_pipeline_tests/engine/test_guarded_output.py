"""Dagster's texts of exceptions have no secrets: in events, in ticks, in its own log."""

import sys

import pytest
from dagster import DagsterInstance, OpExecutionContext, job, op
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo

from connector_pipeline.engine.guarded_output import guard_dagsters_output
from connector_pipeline.engine.plain_failure import PlainFailure
from connector_pipeline.model.errors import DatabaseUnavailable, Defect
from connector_pipeline.model.redaction import SECRETS

TOKEN = "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"


@op
def _fails(context: OpExecutionContext) -> None:
    context.log.info(f"about to send {TOKEN}")
    try:
        raise ValueError(f"{TOKEN} \ud800 \x1b[0m")
    except ValueError as error:
        raise ExceptionGroup(f"group {TOKEN}", [OSError(TOKEN)]) from error


@job
def _failing() -> None:
    _fails()


def test_an_op_that_raises_leaves_no_secret_in_any_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The step's failure has the stack and all causes, and the run's log has them as text."""
    guard_dagsters_output()
    guard_dagsters_output()
    with SECRETS.holding(), DagsterInstance.ephemeral() as instance:
        SECRETS.keep([TOKEN], while_held=True)
        result = _failing.execute_in_process(instance=instance, raise_on_error=False)
        events = "".join(str(each) for each in instance.all_logs(result.run_id))
    assert "about to send ***" in events
    for found in (events, capsys.readouterr().err):
        assert "shpat" not in found
        assert "ValueError: ***" in found
        assert "\\ud800" in found
        assert "\ud800" not in found
        assert "\x1b[0m" not in found


def test_dagster_makes_all_texts_of_exceptions_in_one_place() -> None:
    """If this fails, engine/guarded_output.py guards nothing any more."""
    guard_dagsters_output()
    with SECRETS.holding():
        SECRETS.keep([TOKEN], while_held=True)
        try:
            raise RuntimeError(TOKEN) from ValueError(TOKEN)
        except RuntimeError:
            made = serializable_error_info_from_exc_info(sys.exc_info())
    assert isinstance(made, SerializableErrorInfo)
    assert made.message == "RuntimeError: ***\n"
    assert made.cause is not None
    assert made.cause.message == "ValueError: ***\n"
    assert made.stack


@pytest.mark.parametrize("kind", [PlainFailure, DatabaseUnavailable])
def test_an_error_that_says_all_is_shown_as_its_text(kind: type[Exception]) -> None:
    """It begins with the shop, and no stack, cause or name of a class hides it."""
    guard_dagsters_output()
    try:
        try:
            raise ValueError("driver")
        except ValueError as error:
            raise kind("shopify/acme.example: it is down: no answer.") from error
    except Exception:
        made = serializable_error_info_from_exc_info(sys.exc_info())
    assert made.message.startswith("shopify/acme.example: it is down: no answer.")
    assert (made.stack, made.cause, made.context) == ([], None, None)
    assert made.cls_name == kind.__name__


def test_a_defect_keeps_its_stack() -> None:
    """Nobody foresaw it, and its text alone does not lead to its place."""
    guard_dagsters_output()
    try:
        raise Defect("unexpected KeyError.")
    except Defect:
        made = serializable_error_info_from_exc_info(sys.exc_info())
    assert made.stack
