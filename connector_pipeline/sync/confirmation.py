"""Ask a platform by id for what a snapshot lacks, before it is believed to be gone."""

from contextlib import aclosing

from connector_pipeline.archive.writer import SnapshotWriter
from connector_pipeline.catalog.read import live_variants
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.platforms.kit.contract import Adapter, CredentialSource, FetchReport
from connector_pipeline.postgres.database import Database
from connector_pipeline.sync.absence import Absence, Confirmed, absence
from connector_pipeline.sync.interruptible import in_thread


async def confirmed(
    database: Database,
    adapter: Adapter,
    shop: RegisteredShop,
    credential_source: CredentialSource,
    writer: SnapshotWriter,
    report: FetchReport,
) -> Confirmed:
    """The live variants that the snapshot lacks and the platform, asked by id, says are gone.

    The answers are archived. Where asking fails none is, and the report warns of it. A snapshot
    is not complete, after all, that lacks what is still there, or may.
    """
    if report.complete and not adapter.lists_may_skip:
        return Confirmed()
    missing = await in_thread(_missing, database, adapter, shop, writer, report)
    report.details |= {"absent": len(missing.absent), "gone": 0}
    if not missing.absent:
        return Confirmed(every_absence=True)
    if missing.witness is None:
        if report.complete:
            # An empty shop by its own counts; the guard has the last word on it.
            return Confirmed()
        report.warnings.append(
            f"{_absent(missing)} and has none to hold the platform's answers "
            "against: none is deleted by this sync."
        )
        return Confirmed()
    gone: list[str] = []
    lookups = adapter.look_up(
        shop, credential_source, absent=missing.absent, witness=missing.witness, report=report
    )
    try:
        async with aclosing(lookups):
            async for lookup in lookups:
                await in_thread(writer.write, lookup.page)
                gone += lookup.gone
    except ConnectorError as error:
        report.complete = False
        report.warnings.append(
            f"{_absent(missing)} and asking for them by id failed ({error.code}: "
            f"{error.message}) Items are added and updated, none is deleted by this sync."
        )
        return Confirmed()
    report.details["gone"] = len(gone)
    if report.complete and len(gone) < len(missing.absent):
        report.complete = False
        report.warnings.append(
            f"{_absent(missing)}, of which the shop still has {len(missing.absent) - len(gone)}"
            ": it was edited while it was read."
        )
    return Confirmed(tuple(gone), every_absence=len(gone) == len(missing.absent))


def _missing(
    database: Database,
    adapter: Adapter,
    shop: RegisteredShop,
    writer: SnapshotWriter,
    report: FetchReport,
) -> Absence:
    with database.connect() as connection:
        live = live_variants(connection, shop.partition_key)
    if not live:
        return Absence({}, None)
    # What a reading that ended has: `finish` raises where it has no currency.
    currency = report.currency or ""
    return absence(live, adapter.normalize(shop, currency, writer.written()))


def _absent(missing: Absence) -> str:
    return f"The snapshot lacks {len(missing.absent)} live items of the catalog"
