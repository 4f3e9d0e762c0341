"""The CSV file that `connector-pipeline shops import` reads."""

import csv
import io
from typing import Final

from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.shop import Shop, valid_currency
from connector_pipeline.platforms.adapters import adapter_class, valid_domain

HEADER: Final = ("merchant_id", "platform_name", "platform_shop_id", "domain")
WITH_PATH: Final = (*HEADER, "path")
LONGEST_FILE: Final = 100_000_000
"""Bytes: a million shops. A longer one, or a device without an end, would fill the memory."""


def parse_shops(content: bytes) -> list[Shop]:
    """The shops of a CSV file in UTF-8 (with or without BOM; LF or CRLF; fields may be quoted).

    Empty lines are skipped. With the column `path`, an empty path is a shop in no folder; without
    it, the registry keeps the paths that it has. Raises InvalidShop, which names every bad line
    with the reason: fields out of place, unknown platforms, bad domains and repeated shops among
    others.
    """
    if len(content) > LONGEST_FILE:
        raise InvalidShop(f"the file is longer than {LONGEST_FILE:,} bytes: import it in parts")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidShop(f"line {line}: is not UTF-8") from None
    shops: list[Shop] = []
    problems: list[str] = []
    first_line_of: dict[str, int] = {}
    # newline="" and strict: an unclosed quote must not silently swallow the lines after it.
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = next(rows, None)
        if header is None or tuple(header) not in (HEADER, WITH_PATH):
            raise InvalidShop(
                f"line 1: the header must be exactly {','.join(HEADER)}, perhaps with ,path"
            )
        line = rows.line_num + 1
        for row in rows:
            try:
                if row:
                    shop = registrable(_shop(row, columns=len(header)))
                    earlier = first_line_of.setdefault(shop.partition_key, line)
                    if earlier != line:
                        raise InvalidShop(f"{shop.partition_key} is on line {earlier} already")
                    shops.append(shop)
            except InvalidShop as error:
                problems.append(f"line {line}: {error}")
            line = rows.line_num + 1
    except csv.Error as error:
        problems.append(f"line {line}: is not CSV ({error})")
    if problems:
        raise InvalidShop("\n".join(problems))
    return shops


def registrable(shop: Shop) -> Shop:
    """The shop, if the registry may hold it. Raises InvalidShop."""
    valid_domain(shop.platform_name, shop.domain)
    if shop.currency is not None:
        valid_currency(shop.currency)
    if shop.path and not adapter_class(shop.platform_name).has_paths:
        raise InvalidShop(f"a shop of {shop.platform_name} has no path, but a domain of its own")
    return shop


def _shop(row: list[str], *, columns: int) -> Shop:
    if len(row) != columns:
        raise InvalidShop(f"has {len(row)} fields instead of {columns}")
    merchant_id, platform_name, platform_shop_id, domain, *path = row
    return Shop.of(
        merchant_id=merchant_id,
        platform_name=platform_name,
        platform_shop_id=platform_shop_id,
        domain=valid_domain(platform_name, domain),
        path=path[0] if path else None,
    )
