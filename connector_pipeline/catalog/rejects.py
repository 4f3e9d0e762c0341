"""Keeps a snapshot's rejected variants, and what they say of the rows that stay."""

from typing import Final

import psycopg

from connector_pipeline.catalog.item_columns import OF_THE_SHOP

# A rejected variant's row keeps its content, and is not offered for sale once the platform states
# another status than active, or one that we do not know.
_WITHDRAW: Final = f"""
    UPDATE catalog.catalog_items AS item
    SET product_status = reject.product_status, changed_at = %(now)s, sync_id = %(sync_id)s
    FROM (
        SELECT product_id, variant_id, min(product_status) AS product_status
        FROM pg_temp.staged_rejects WHERE product_status <> 'active'
        GROUP BY product_id, variant_id
    ) AS reject
    WHERE {OF_THE_SHOP} AND item.deleted_at IS NULL AND item.product_status = 'active'
        AND NOT EXISTS (
            SELECT FROM pg_temp.staged_items AS staged WHERE staged.variant_id = item.variant_id
        )
"""  # noqa: S608

# Two statements, because a join by one or the other id would compare each row with each reject.
_WITHDRAW_VARIANTS: Final = f"{_WITHDRAW} AND reject.variant_id = item.variant_id"
_WITHDRAW_PRODUCTS: Final = (
    f"{_WITHDRAW} AND reject.variant_id IS NULL AND reject.product_id = item.product_id"
)

_FORGET_ALL_REJECTS: Final = """
    DELETE FROM connector.rejected_variants
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
"""

# An incremental or incomplete snapshot says nothing about variants that it lacks, except those of
# its whole products.
_FORGET_REJECTS_IN_SNAPSHOT: Final = """
    DELETE FROM connector.rejected_variants
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
        AND (
            variant_id IN (
                SELECT variant_id FROM pg_temp.staged_items
                UNION SELECT variant_id FROM pg_temp.staged_rejects
            )
            OR (variant_id IS NULL OR %(whole_products)s) AND product_id IN (
                SELECT product_id FROM pg_temp.staged_items
                UNION SELECT product_id FROM pg_temp.staged_rejects
            )
            OR variant_id IS NULL AND product_id IS NULL
        )
"""

_KEEP_REJECTS: Final = """
    INSERT INTO connector.rejected_variants
        (platform_name, domain, product_id, variant_id, reason, raw, sync_id, rejected_at)
    SELECT %(platform_name)s, %(domain)s, product_id, variant_id, reason, raw, %(sync_id)s, %(now)s
    FROM pg_temp.staged_rejects WHERE raw IS NOT NULL
    LIMIT greatest(0, %(most_rejects)s - (
        SELECT count(*) FROM connector.rejected_variants
        WHERE platform_name = %(platform_name)s AND domain = %(domain)s
    ))
"""


def withdraw(connection: psycopg.Connection, values: dict[str, object]) -> int:
    """Take the rows of rejected variants off sale that are not active; return their number."""
    return sum(
        connection.execute(statement, values).rowcount
        for statement in (_WITHDRAW_VARIANTS, _WITHDRAW_PRODUCTS)
    )


def keep_rejects(
    connection: psycopg.Connection, values: dict[str, object], *, whole_shop: bool, any_staged: bool
) -> int:
    """Replace the rejects that are kept of the shop; return how many of the staged ones are kept.

    Not `whole_shop`: those that the snapshot says nothing about stay.
    """
    forget = _FORGET_ALL_REJECTS if whole_shop else _FORGET_REJECTS_IN_SNAPSHOT
    connection.execute(forget, values)
    return connection.execute(_KEEP_REJECTS, values).rowcount if any_staged else 0
