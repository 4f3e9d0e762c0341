"""Keeps secrets, and stacks that say nothing, out of what Dagster makes of exceptions.

Dagster turns an exception into text in one place, `SerializableErrorInfo.from_traceback`, and puts
that text, with the stack and all causes, into its database and its UI: events, ticks, errors of
loading. Its own setting DAGSTER_REDACT_USER_CODE_ERRORS hides the whole text, and an operator would
see no reason at all. An error of the taxonomy says in its text what failed, why, and what to do: it
is shown as that text, so that nobody has to find it above a page of stack.

Needs: `SerializableErrorInfo` and its class method `from_traceback`, which calls itself for causes.
Tried with Dagster 1.13.27. A hook for the texts of errors would replace this module.
"""

import traceback
from typing import Any

from dagster_shared.error import SerializableErrorInfo

from connector_pipeline.engine.plain_failure import PlainFailure
from connector_pipeline.model.errors import ConnectorError, Defect
from connector_pipeline.model.process_output import guard_output, shown

_made: Any = SerializableErrorInfo.from_traceback.__func__  # pyright: ignore[reportFunctionMemberAccess]


def guard_dagsters_output() -> None:
    """Redact all that this process logs, prints of an error, or hands to Dagster as one.

    Each process in which Dagster runs calls it at its start; a second call changes nothing.
    """
    guard_output()
    SerializableErrorInfo.from_traceback = classmethod(_from_traceback)  # pyright: ignore[reportAttributeAccessIssue]


def _from_traceback(
    cls: type[SerializableErrorInfo], tb: traceback.TracebackException
) -> SerializableErrorInfo:
    made: SerializableErrorInfo = _made(cls, tb)
    if _says_all(tb.exc_type):
        # Without "module.Class: ", with which Dagster begins the text.
        text = made.message.partition(": ")[2] or made.message
        return cls(message=shown(text), stack=[], cls_name=made.cls_name, cause=None, context=None)
    return cls(
        message=shown(made.message),
        stack=[shown(each) for each in made.stack],
        cls_name=made.cls_name,
        cause=made.cause,
        context=made.context,
    )


def _says_all(kind: type[BaseException] | None) -> bool:
    if kind is None or issubclass(kind, Defect):
        return False
    return issubclass(kind, (PlainFailure, ConnectorError))
