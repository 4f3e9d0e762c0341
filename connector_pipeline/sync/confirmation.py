"""Ask the platform by id for the variants that a snapshot lacks, before they are deleted."""

from contextlib import aclosing
from functools import partial

from connector_pipeline.archive.writer import SnapshotWriter
from connector_pipeline.catalog.read import live_variants, newest_item
from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.platforms.kit.contract import Adapter, CredentialSource, FetchReport
from connector_pipeline.postgres.database import Database
from connector_pipeline.sync.absence import (
    Absence,
    Confirmed,
    absence,
    products_of,
    unlisted,
)
from connector_pipeline.sync.interruptible import in_thread


async def confirmed_in_increment(
    database: Database,
    adapter: Adapter,
    shop: RegisteredShop,
    credential_source: CredentialSource,
    writer: SnapshotWriter,
    report: FetchReport,
    *,
    whole_products: bool,
) -> Confirmed:
    """Ask the platform for the live variants that seem to be gone.

    Those are the variants of the products in `report.perhaps_gone`, the ones that `report.listed`
    lacks, and the ones that a product of the increment lacks, if they are `whole_products`. Returns
    those that are gone. If asking fails, none counts as gone, the report warns of it, the adapter's
    memory stays as it was, and the report is not complete, so the next increment begins where this
    one did. The products in question go into `report.not_yet`.
    """
    suspects, lacking = await in_thread(
        partial(_suspects, database, adapter, shop, writer, report, whole_products=whole_products)
    )
    report.details |= {"suspected": len(suspects.absent), "gone": 0}
    if not suspects.absent:
        return Confirmed()
    said = f"{len(suspects.absent)} items seem to be gone"
    if suspects.witness is None:
        # The catalog would be empty without them: the next full sync and its guard decide.
        report.warnings.append(f"{said}, all that the catalog has: a full sync decides.")
        return Confirmed()
    gone: list[str] = []
    try:
        async with aclosing(
            adapter.look_up(
                shop,
                credential_source,
                absent=suspects.absent,
                witness=suspects.witness,
                report=report,
            )
        ) as lookups:
            async for lookup in lookups:
                await in_thread(writer.write, lookup.page)
                gone += lookup.gone
    except ConnectorError as error:
        report.complete = False
        report.not_yet.update(suspects.absent.values())
        report.learned = dict(shop.learned)
        report.warnings.append(
            f"{said}, and asking for them by id failed ({error.code}: "
            f"{error.message.rstrip('.')}). This sync deletes none of them; the next one asks "
            "again."
        )
        return Confirmed()
    report.details["gone"] = len(gone)
    still_there = lacking.difference(gone)
    if still_there:
        report.complete = False
        report.not_yet.update(suspects.absent[variant_id] for variant_id in still_there)
        report.warnings.append(
            f"Products came without {len(still_there)} variants that the shop still has, so their "
            "lists ended too early. They stay as they are, and the next sync reads them again."
        )
    return Confirmed(tuple(gone))


def _suspects(
    database: Database,
    adapter: Adapter,
    shop: RegisteredShop,
    writer: SnapshotWriter,
    report: FetchReport,
    *,
    whole_products: bool,
) -> tuple[Absence, frozenset[str]]:
    """The live variants that seem to be gone, with the item of a product that does not.

    And those among them that only a product of the increment lacks.
    """
    key, listed, products = shop.partition_key, report.listed, report.perhaps_gone
    suspected: dict[str, str] = {}
    witness: CatalogItem | None = None
    if whole_products:
        lacking = _lacking_in_products(database, adapter, shop, writer, report)
        suspected = lacking.absent
        if lacking.witness is not None and lacking.witness.product_id not in products:
            witness = lacking.witness
    in_products = frozenset(suspected)
    if listed is None and not products and not suspected:
        return Absence({}, None), in_products
    with database.connect() as connection:
        if listed is not None:
            suspected |= unlisted(live_variants(connection, key), listed, products)
            products = products | {each for each in suspected.values() if listed.lack_product(each)}
        elif products:
            suspected |= live_variants(connection, key, of_products=products)
        if witness is None and suspected:
            witness = newest_item(connection, key, but=products)
    return Absence(suspected, witness), in_products


def _lacking_in_products(
    database: Database,
    adapter: Adapter,
    shop: RegisteredShop,
    writer: SnapshotWriter,
    report: FetchReport,
) -> Absence:
    """The live variants that the increment's products lack, and an item that the increment has.

    A list of variants that ended too early looks the same as deleted variants.
    """
    # `SnapshotWriter.finish` refuses a reading without a currency.
    currency = report.currency or ""
    products = products_of(adapter.normalize(shop, currency, writer.written()))
    if not products:
        return Absence({}, None)
    with database.connect() as connection:
        live = live_variants(connection, shop.partition_key, of_products=products)
    return absence(live, adapter.normalize(shop, currency, writer.written()))


async def confirmed(
    database: Database,
    adapter: Adapter,
    shop: RegisteredShop,
    credential_source: CredentialSource,
    writer: SnapshotWriter,
    report: FetchReport,
) -> Confirmed:
    """Ask the platform for the live variants that the snapshot lacks; return those that are gone.

    The platform's answers are archived with the snapshot. If asking fails, no variant counts as
    gone, and the report warns of it. The report is no longer complete if the shop still has a
    variant that the snapshot lacks, or may still have it.
    """
    if report.complete and not adapter.lists_may_skip:
        return Confirmed()
    missing = await in_thread(_missing, database, adapter, shop, writer, report)
    report.details |= {"absent": len(missing.absent), "gone": 0}
    if not missing.absent:
        return Confirmed(every_absence=True)
    if missing.witness is None:
        if report.complete:
            # The platform's own counts say that the shop is empty: the guard decides about that.
            return Confirmed()
        report.warnings.append(
            f"{_absent(missing)} and has no item to check the platform's answers with: this sync "
            "deletes none."
        )
        return Confirmed()
    gone: list[str] = []
    # A variant that the platform has and cannot give is absent for good, neither gone nor unread.
    kept = {
        variant_id
        for variant_id, product_id in missing.absent.items()
        if not report.unreadable.isdisjoint((variant_id, product_id))
    }
    lookups = adapter.look_up(
        shop, credential_source, absent=missing.absent, witness=missing.witness, report=report
    )
    try:
        async with aclosing(lookups):
            async for lookup in lookups:
                await in_thread(writer.write, lookup.page)
                gone += lookup.gone
                kept.update(lookup.left_open)
    except ConnectorError as error:
        report.complete = False
        report.warnings.append(
            f"{_absent(missing)} and asking for them by id failed ({error.code}: "
            f"{error.message.rstrip('.')}). This sync adds and updates items, and deletes none."
        )
        return Confirmed()
    kept.difference_update(gone)
    report.details |= {"gone": len(gone), "kept_unread": len(kept)}
    still_there = len(missing.absent) - len(gone) - len(kept)
    if report.complete and still_there:
        report.warnings.append(
            f"{_absent(missing)}, of which the shop still has {still_there}"
            ": the shop was edited while it was read."
        )
    if kept or still_there:
        # Not every absent item is gone, so a publish must not delete them all.
        report.all_read |= report.complete and not still_there
        report.complete = False
    return Confirmed(tuple(gone), every_absence=not still_there)


def _missing(
    database: Database,
    adapter: Adapter,
    shop: RegisteredShop,
    writer: SnapshotWriter,
    report: FetchReport,
) -> Absence:
    with database.connect_for_statements() as connection:
        live = live_variants(connection, shop.partition_key)
    if not live:
        return Absence({}, None)
    # `SnapshotWriter.finish` refuses a reading without a currency.
    currency = report.currency or ""
    return absence(live, adapter.normalize(shop, currency, writer.written()))


def _absent(missing: Absence) -> str:
    return f"The snapshot lacks {len(missing.absent)} live items of the catalog"
