"""The launcher of runs that the settings name; dagster.yaml names this class.

Needs: `DefaultRunLauncher` as a class to derive from, `ConfigurableClassData`, and that Dagster
takes whatever launcher `from_config_value` returns. Tried with Dagster 1.13.27. A `run_launcher` in
dagster.yaml that can read its class from the environment would replace this module.
"""

from collections.abc import Mapping
from typing import Any

from dagster._core.launcher import DefaultRunLauncher, RunLauncher
from dagster._serdes import ConfigurableClassData

from connector_pipeline.model.extra import Extra, require
from connector_pipeline.settings import load_settings


class ConnectorRunLauncher(DefaultRunLauncher):
    """RUN_LAUNCHER=default: a process per run beside the code server. celery: warm workers."""

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]  # any launcher
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> RunLauncher[Any]:
        """Make the launcher. Raises SettingsError and ExtraMissing."""
        settings = load_settings()
        if settings.run_launcher == "default":
            return DefaultRunLauncher(inst_data=inst_data)
        require(Extra.CELERY, setting_helps=True)
        # Imported here: its packages are an extra.
        from connector_pipeline.engine.celery_broker import broker_url
        from connector_pipeline.engine.celery_launcher import WarmRunLauncher

        return WarmRunLauncher(broker_url(settings), inst_data)
