"""The Dagster resources: plain objects that no run config can change.

Everybody who can reach the UI can launch a run with any run config. So run config decides neither
where a credential is sent, nor which addresses may be connected to, nor where data is written: all
of that comes from the environment of the process. Each resource has an empty config schema, so
Dagster refuses a run config that names a field of a resource before the run starts.
"""

import keyword
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, Final

from dagster import (
    InitResourceContext,
    InMemoryIOManager,
    IOManagerDefinition,
    ResourceDefinition,
)

from connector_pipeline.assets.io_manager import CatalogIOManager
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.settings import SettingsError
from connector_pipeline.state.liveness import alive
from connector_pipeline.sync.services import SyncServices

SERVICES: Final = "services"
"""The name of the resource that assets, sensors and the IO manager use: all the others in one."""

_FROM_THE_ENVIRONMENT: Final = (
    "Its settings are variables of the environment (`docs/settings.md`); no run config changes it."
)
_NEIGHBOURS: Final = ("database", "registry", "token_service", "raw_archive")


def fixed(value: object, description: str) -> ResourceDefinition:
    """A resource that is this object, whatever the run config says."""

    def the_value(_: InitResourceContext) -> object:
        return value

    # The page of the resource shows the function's name as what it is.
    the_value.__name__ = the_value.__qualname__ = type(value).__name__
    return ResourceDefinition(
        the_value, config_schema={}, description=f"{description} {_FROM_THE_ENVIRONMENT}"
    )


def adapter_resources(
    adapters: Mapping[str, Adapter], *, taken: Collection[str]
) -> dict[str, ResourceDefinition]:
    """Each adapter as the resource of its platform's name, beside those whose names are `taken`.

    Raises SettingsError for an installed adapter whose name no resource can have.
    """
    unusable = [name for name in adapters if name in taken or keyword.iskeyword(name)]
    if unusable:
        raise SettingsError(
            [
                f"the installed adapter for the platform {name!r} cannot be used: another Dagster "
                "resource has that name, or none may have it. Uninstall the package that brings it."
                for name in unusable
            ]
        )
    return {
        name: fixed(adapter, f"Reads shops of the platform {name}.")
        for name, adapter in adapters.items()
    }


def services_resource(platform_names: Iterable[str]) -> ResourceDefinition:
    """The resource `services`, made of the other resources and of the adapters of these names.

    Dagster makes it anew for each run, and so each run has adapters of its own.
    """
    names = tuple(platform_names)

    def services(context: InitResourceContext) -> Generator[SyncServices]:
        found: Mapping[str, Any] = context.resources.original_resource_dict
        # Signs of life for all of the run: what its steps do after their syncs may take long, too.
        run, database = context.run, found["database"]
        signs = nullcontext() if run is None else alive(database, run.run_id)
        # To the end of the run: Dagster makes events of its errors when our code has returned.
        with signs, SECRETS.holding():
            yield SyncServices(
                database=database,
                registry=found["registry"],
                token_service=found["token_service"],
                raw_archive=found["raw_archive"],
                adapters={name: found[name].for_one_run() for name in names},
            )

    return ResourceDefinition(
        services,
        config_schema={},
        required_resource_keys={*_NEIGHBOURS, *names},
        description="What a sync works with: the other resources, each adapter by its platform.",
    )


def default_io_manager() -> IOManagerDefinition:
    """The IO manager of what names none. It stands before Dagster's own, which writes to files.

    No op of ours gives it anything to keep. A run config may name the folder of Dagster's own.
    """

    def io_manager(_: InitResourceContext) -> InMemoryIOManager:
        return InMemoryIOManager()

    return IOManagerDefinition(
        io_manager, config_schema={}, description="Keeps nothing: no step passes data to another."
    )


def catalog_io_manager() -> IOManagerDefinition:
    """The IO manager that publishes shops to `catalog.catalog_items` and reads them back."""

    def io_manager(context: InitResourceContext) -> CatalogIOManager:
        return CatalogIOManager(getattr(context.resources, SERVICES))

    return IOManagerDefinition(
        io_manager,
        config_schema={},
        required_resource_keys={SERVICES},
        description="Publishes shops to Postgres, each in one transaction; reads them back.",
    )
