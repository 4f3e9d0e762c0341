"""The registry, `connector.shops`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from connector_pipeline.model.errors import InvalidShop, UnknownShop
from connector_pipeline.model.shop import RegisteredShop, Shop, columns_of, parse_partition_key
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.refusals import NOT_REFUSED
from connector_pipeline.state.registration import Added, add_shop
from connector_pipeline.state.unknown_shops import unknown_shop

_SELECT: Final = """
    SELECT merchant_id, platform_name, platform_shop_id, domain, currency, path, state,
        consecutive_failures, last_error_code, last_error_message, last_full_sync_at,
        last_successful_sync_at, high_water_mark, published_currency, page_sizes, learned,
        refused_at, full_sync_failing_since, full_sync_failed_at, full_sync_failures,
        full_sync_error_code, full_sync_error_message, last_hint_at, last_hinted_sync_at,
        subscribed, subscriptions_checked_at, subscriptions_trouble
    FROM connector.shops
"""

_LOOKED_UP: Final = 20
"""Of so many unknown shops, similar names are looked for: each look reads the whole registry."""


@dataclass(frozen=True, slots=True)
class ShopRegistry:
    """The shops and their states. Many threads may use it at once.

    Every method is a transaction of its own and may raise DatabaseUnavailable.
    """

    database: Database

    def get(self, key: str) -> RegisteredShop:
        """The shop of a partition key.

        Raises UnknownShop, or InvalidShop for a key that no shop can have.
        """
        with self.database.connect() as connection:
            return _shop(connection, key)

    def list(self, state: ShopState | None = None) -> Sequence[RegisteredShop]:
        """All shops, or those in one state, sorted by partition key."""
        with self.database.connect() as connection:
            rows = connection.cursor(row_factory=dict_row).execute(
                _SELECT + "WHERE %(state)s::text IS NULL OR state = %(state)s "
                "ORDER BY platform_name, domain",
                {"state": state},
            )
            return [RegisteredShop.model_validate(row) for row in rows]

    def active_partition_keys(self) -> Sequence[str]:
        """The partition keys of all active shops, sorted."""
        return [shop.partition_key for shop in self.list(ShopState.ACTIVE)]

    def visible_partition_keys(self) -> Sequence[str]:
        """The partition keys of all shops but the paused ones, sorted.

        A disconnected shop stays to be seen until somebody reconnects, pauses or removes it.
        """
        with self.database.connect() as connection:
            rows = connection.execute(
                "SELECT platform_name || '/' || domain FROM connector.shops WHERE state <> %s"
                " ORDER BY platform_name, domain",
                (ShopState.PAUSED,),
            )
            return [key for (key,) in rows]

    def active_partition_keys_where(
        self,
        *,
        platform_name: str | None = None,
        merchant_id: str | None = None,
        failed: bool = False,
        stale: timedelta | None = None,
    ) -> Sequence[str]:
        """The partition keys of the active shops that meet all conditions, sorted.

        `failed`: the last sync failed, or the last full one did. `stale`: the last successful sync
        began longer ago than this, or there was none.
        """
        with self.database.connect() as connection:
            rows = connection.execute(
                """
                SELECT platform_name || '/' || domain FROM connector.shops
                WHERE state = %(active)s
                    AND (%(platform_name)s::text IS NULL OR platform_name = %(platform_name)s)
                    AND (%(merchant_id)s::text IS NULL OR merchant_id = %(merchant_id)s)
                    AND (NOT %(failed)s OR last_error_code IS NOT NULL
                         OR full_sync_error_code IS NOT NULL)
                    AND (%(stale)s::interval IS NULL OR last_successful_sync_at IS NULL
                         OR last_successful_sync_at < now() - %(stale)s::interval)
                ORDER BY platform_name, domain
                """,
                {
                    "active": ShopState.ACTIVE,
                    "platform_name": platform_name,
                    "merchant_id": merchant_id,
                    "failed": failed,
                    "stale": stale,
                },
            )
            return [key for (key,) in rows]

    def add(self, shop: Shop) -> Added:
        """Register a shop, or update its registration. Its state stays.

        A currency or a path of None leaves the registered one as it is. Raises InvalidShop.
        """
        # Imported here and below: it brings the adapters, and who reads the registry needs none.
        from connector_pipeline.state.shop_csv import registrable

        registrable(shop)
        with self.database.connect() as connection:
            return add_shop(connection, shop)

    def import_csv(self, path: Path) -> dict[Added, int]:
        """Add the shops of a CSV file, all or none. Returns how many were added and so on.

        The header is merchant_id,platform_name,platform_shop_id,domain, perhaps with path. Raises
        InvalidShop, which names every bad line, and OSError for a file that cannot be read.
        """
        from connector_pipeline.state.shop_csv import LONGEST_FILE, parse_shops

        try:
            with path.open("rb") as file:
                shops = parse_shops(file.read(LONGEST_FILE + 1))
        except InvalidShop as error:
            raise InvalidShop(f"{path}: no shop was imported.\n{error}") from None
        with self.database.connect() as connection:
            # Sorted, so that two imports at once wait for each other and do not deadlock.
            ordered = sorted(shops, key=lambda shop: shop.partition_key)
            outcomes = Counter(add_shop(connection, shop) for shop in ordered)
        return {
            "added": outcomes["added"],
            "updated": outcomes["updated"],
            "unchanged": outcomes["unchanged"],
        }

    def set_state(self, key: str, state: ShopState) -> None:
        """Pause, resume or disconnect a shop; see `set_states`. Raises UnknownShop."""
        parse_partition_key(key)
        if not self.set_states(state, keys=[key]):
            with self.database.connect() as connection:
                raise _unknown(connection, key)

    def set_states(
        self,
        state: ShopState,
        *,
        keys: Sequence[str] | None = None,
        now_in: ShopState | None = None,
        platform_name: str | None = None,
    ) -> Sequence[str]:
        """Pause, resume or disconnect the shops that meet all conditions, in one statement.

        `keys`: their partition keys. `now_in`: the state that they are in. A shop starts in its new
        state without refusals, and a resumed one without failures. Returns the partition keys of
        the shops that meet the conditions, sorted.
        """
        platform_names, domains = columns_of(keys or ())
        with self.database.connect() as connection:
            rows = connection.execute(
                f"""
                WITH chosen AS (
                    SELECT platform_name, domain FROM connector.shops
                    WHERE (%(all)s OR (platform_name, domain) IN (
                            SELECT * FROM unnest(%(platform_names)s::text[], %(domains)s::text[])))
                        AND (%(now_in)s::text IS NULL OR state = %(now_in)s)
                        AND (%(platform_name)s::text IS NULL OR platform_name = %(platform_name)s)
                    -- In the order in which everybody locks shops.
                    ORDER BY platform_name, domain FOR NO KEY UPDATE
                )
                UPDATE connector.shops AS shop
                SET state = %(state)s, updated_at = now(), {NOT_REFUSED},
                    consecutive_failures =
                        CASE WHEN %(resumed)s THEN 0 ELSE consecutive_failures END
                FROM chosen
                WHERE shop.platform_name = chosen.platform_name AND shop.domain = chosen.domain
                RETURNING shop.platform_name || '/' || shop.domain
                """,  # noqa: S608  our own words
                {
                    "all": keys is None,
                    "platform_names": platform_names,
                    "domains": domains,
                    "now_in": now_in,
                    "platform_name": platform_name,
                    "state": state,
                    "resumed": state is ShopState.ACTIVE,
                },
            ).fetchall()
        return sorted(key for (key,) in rows)

    def registered(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of these partition keys that are in the registry, sorted."""
        with self.database.connect() as connection:
            rows = connection.execute(
                """
                SELECT platform_name || '/' || domain
                FROM connector.shops JOIN unnest(%s::text[], %s::text[])
                    AS given (platform_name, domain) USING (platform_name, domain)
                ORDER BY platform_name, domain
                """,
                columns_of(set(keys)),
            )
            return [key for (key,) in rows]

    def unknown(self, keys: Sequence[str]) -> Sequence[UnknownShop]:
        """The errors for partition keys without a shop. The first name similar ones with a shop."""
        looked_up, others = keys[:_LOOKED_UP], keys[_LOOKED_UP:]
        with self.database.connect() as connection:
            named = [unknown_shop(connection, key) for key in looked_up]
        message = "is not in the registry."
        return [*named, *(UnknownShop(message, partition_key=key) for key in others)]

    def remove(self, key: str) -> None:
        """Delete a shop. Its catalog rows and its syncs stay. Raises UnknownShop."""
        self._change(
            key,
            """
            DELETE FROM connector.shops
            WHERE platform_name = %(platform_name)s AND domain = %(domain)s
            """,
            {},
        )

    def keep_page_sizes(self, key: str, sizes: Mapping[str, int]) -> None:
        """Remember the sizes of pages that the shop manages. A removed shop is no error."""
        platform_name, domain = parse_partition_key(key)
        with self.database.connect() as connection:
            connection.execute(
                "UPDATE connector.shops SET page_sizes = %s"
                " WHERE platform_name = %s AND domain = %s",
                (Jsonb(dict(sizes)), platform_name, domain),
            )

    def _change(self, key: str, statement: LiteralString, values: dict[str, object]) -> None:
        platform_name, domain = parse_partition_key(key)
        with self.database.connect() as connection:
            changed = connection.execute(
                statement, values | {"platform_name": platform_name, "domain": domain}
            )
            if changed.rowcount == 0:
                raise _unknown(connection, key)


def registered_shop(registry: ShopRegistry, key: str) -> RegisteredShop:
    """The shop of a partition key. Raises UnknownShop, for a malformed key too."""
    with registry.database.connect() as connection:
        return shop_on_record(connection, key)


def shop_on_record(connection: psycopg.Connection, key: str) -> RegisteredShop:
    """As `registered_shop`, as part of the caller's transaction."""
    try:
        return _shop(connection, key)
    except InvalidShop as error:
        raise UnknownShop(
            f"{error}.",
            partition_key=key,
            remedy="No shop can have this key. `connector-pipeline shops list` has those that are "
            "registered.",
        ) from None


def _shop(connection: psycopg.Connection, key: str) -> RegisteredShop:
    found = connection.cursor(row_factory=dict_row).execute(
        _SELECT + "WHERE platform_name = %s AND domain = %s", parse_partition_key(key)
    )
    row = found.fetchone()
    if row is None:
        raise _unknown(connection, key)
    return RegisteredShop.model_validate(row)


def _unknown(connection: psycopg.Connection, key: str) -> UnknownShop:
    from connector_pipeline.platforms.adapters import parse_shop_key

    # Checked only now: a registered shop may have a platform whose adapter is no longer installed.
    parse_shop_key(key)
    return unknown_shop(connection, key)
