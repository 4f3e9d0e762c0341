"""What `doctor` sees of a deployment's processes. That one does not run is no fault of settings.

An operator runs `doctor` before the processes are started, too: these findings are for reading, and
only a broker that does not serve, or an extra that is missing, is a failure.
"""

import socket
from typing import Final

from connector_pipeline.cli.daemon import NoDaemon, run_daemon
from connector_pipeline.engine.code_server import serves
from connector_pipeline.engine.storage_server import storage_connection
from connector_pipeline.engine.stored_sensor_state import is_switched_off
from connector_pipeline.model.code_server_address import CodeServerAddress
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.settings import Settings

_ANSWERS_WITHIN: Final = 5.0
_QUEUE_SENSOR: Final = "sync_queue"


def daemon_seen() -> str:
    """Whether a daemon has given a sign of life. Raises StorageUnavailable, SettingsError."""
    try:
        run_daemon(workspace=None, check=True)
    except NoDaemon as error:
        return f"none runs, so nothing is synced by itself: {error.message}"
    return "gave a sign of life within 90 s"


def queue_seen(dagster_url: str) -> str:
    """Whether runs of the queue are launched. Raises StorageUnavailable."""
    with storage_connection(dagster_url) as connection:
        if is_switched_off(connection, _QUEUE_SENSOR):
            return "stopped, so no run is launched: `connector-pipeline queue start`"
    return "not stopped"


def code_server_seen(settings: Settings) -> str:
    """Whether a code server answers."""
    address = settings.code_server
    if _listens(address) and serves(address, within=_ANSWERS_WITHIN):
        return f"answers at {address}"
    return f"none answers at {address}, so the daemon launches nothing"


def workers_seen(settings: Settings) -> str:
    """How many worker processes live. Raises BrokerUnavailable, ExtraMissing, SettingsError."""
    require(Extra.CELERY)
    # Imported here: its packages are an extra.
    from connector_pipeline.engine.celery_broker import Workers, broker_url

    processes = Workers(broker_url(settings)).living_processes()
    if not processes:
        return "the broker answers, and no worker runs: runs wait until one does"
    return f"the broker answers; {processes} worker processes"


def _listens(address: CodeServerAddress) -> bool:
    """Whether anything does: where nothing does, gRPC would wait for it."""
    try:
        if address.socket is not None:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_ANSWERS_WITHIN)
                probe.connect(address.socket)
        else:
            where = (address.host.strip("[]"), address.port)
            socket.create_connection(where, timeout=_ANSWERS_WITHIN).close()
    except OSError:
        return False
    return True
