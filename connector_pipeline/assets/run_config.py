"""Fields of run config. They take values as they are written and read no environment variable.

The fields of Dagster's `Config` classes also take `{env: NAME}` in place of a text, a number or a
boolean, and Dagster then puts in the value of that variable. Everybody who reaches the UI can
launch a run, whose messages would then show the password of the database. So the schemas here are
Dagster's plain ones: they refuse such a value before the run starts.
"""

from dagster import Enum, EnumValue, Field

from connector_pipeline.model.sync_type import RequestedSyncType


def sync_type_field() -> Field:
    """A RequestedSyncType by its name, `auto` where it is left out. It arrives as the member."""
    return Field(
        Enum("RequestedSyncType", [EnumValue(each.name, each) for each in RequestedSyncType]),
        is_required=False,
        default_value=RequestedSyncType.auto.name,
        description="Read everything, or only what changed.",
    )
