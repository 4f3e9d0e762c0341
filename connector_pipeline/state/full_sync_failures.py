"""Keeps why full syncs of a shop fail, on the shop, until one counts: no increment heals that.

`sync_success.succeed` ends it. `model.sync.planned_sync` spaces full syncs by it.
"""

import psycopg

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.state.error_text import stored_text


def keep(
    connection: psycopg.Connection,
    shop: tuple[str, str],
    error: ConnectorError,
    *,
    by_full: bool = True,
) -> None:
    """Keep the failure of a shop, by its platform's name and its domain.

    An increment that finds the same trouble (`by_full` is false) is counted only where no full
    sync has failed yet: the next full one must not wait longer because of many increments.
    """
    connection.execute(
        """
        UPDATE connector.shops
        SET full_sync_failing_since = coalesce(full_sync_failing_since, now()),
            full_sync_failed_at = now(), full_sync_failures = full_sync_failures + 1,
            full_sync_error_code = %s, full_sync_error_message = %s
        WHERE platform_name = %s AND domain = %s
            AND (%s OR full_sync_failing_since IS NULL)
        """,
        (error.code, stored_text(error), *shop, by_full),
    )
