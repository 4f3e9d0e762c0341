"""A failure of a step whose text says all: which shop, the cause, the remedy.

Dagster's UI prints below a failure the stack of the place that raised it, frames of Dagster and of
the report, and before its text the name of its class. guarded_output.py leaves both out for this
class. (Tried with Dagster 1.13.27. A Failure without a stack in the public API would replace it.)
"""

from dagster import Failure


class PlainFailure(Failure):
    """A Failure that Dagster's UI shows as its text alone."""
