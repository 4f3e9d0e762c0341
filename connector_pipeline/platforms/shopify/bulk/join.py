"""Joins the variants of a bulk result to their products, in any order and in bounded memory.

Lines are not grouped: Shopify sends a variant anywhere after its product. Products are kept in a
temporary SQLite database, and so are variants whose product has not come yet. The database spills
to an unnamed file that ends with the process.
"""

import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

from connector_pipeline.model.errors import ArchiveUnavailable, InvalidResponse
from connector_pipeline.platforms.http.bounds import MEGABYTE, PAGE
from connector_pipeline.platforms.http.json_body import UnreadableJson, parse_json
from connector_pipeline.platforms.http.json_shape import takes_more
from connector_pipeline.platforms.kit.json_values import is_object
from connector_pipeline.platforms.shopify.gid import numeric_id

T = TypeVar("T")

_CACHED_PRODUCTS: Final = 4_096
_CACHED_BYTES: Final = 16 * MEGABYTE
"""The most bytes of lines whose products are cached. A line takes some hundred."""
_GID: Final = re.compile(r"gid://shopify/([A-Za-z]+)/[0-9]+")
_SCHEMA: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA cache_size = -16384",
    "CREATE TABLE products (id INTEGER PRIMARY KEY, line BLOB NOT NULL)",
    "CREATE TABLE waiting (product INTEGER NOT NULL, line BLOB NOT NULL)",
    "CREATE INDEX waiting_product ON waiting (product)",
    "BEGIN",
)
_ADD: Final = "INSERT OR REPLACE INTO products VALUES (?, ?)"
_LINE_OF: Final = "SELECT line FROM products WHERE id = ?"


class KnownProducts(Protocol):
    """The products that have come, for a reader that makes objects of its own of their lines.

    `waiting`: the number of variants whose product has not come.
    """

    @property
    def waiting(self) -> int: ...

    def add(self, lines: Mapping[int, bytes]) -> None:
        """Take in whole lines of products by their numbers, which no variant waits for."""
        ...

    def line_of(self, product_id: int) -> bytes | None:
        """The line of a product."""
        ...


class BulkJoin(Generic[T]):
    """Joins the lines of one result, which are fed in pieces. The database lives until `close`.

    `product` makes of a product an object that has all that its variants need.
    """

    def __init__(self, product: Callable[[dict[str, Any]], T]):
        self._product = product
        self._opened: sqlite3.Connection | None = None
        self._cache: OrderedDict[int, tuple[T, int]] = OrderedDict()
        self._cached_bytes = 0
        self._waiting = 0

    def close(self) -> None:
        """Close the database, which deletes it."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _database(self) -> sqlite3.Connection:
        # The first line opens the database, because most shops have no bulk result.
        if self._opened is None:
            # SQLite deletes a file without a name at once, so a killed process leaves none. One
            # thread at a time uses the database, but another may close the generator.
            self._opened = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            for statement in _SCHEMA:
                self._opened.execute(statement)
        return self._opened

    def feed(self, lines: bytes) -> Iterator[tuple[T | None, dict[str, Any]]]:
        """Take in whole lines. Yield each variant whose product is known, with the product.

        A line that has no usable id, its own or its product's, is yielded as it is, with None.
        Raises InvalidResponse for a line that is no product and no variant, and ArchiveUnavailable
        where the disk of temporary files is full.
        """
        with _temporary_file():
            yield from self._joined(lines)

    @property
    def waiting(self) -> int:
        """The number of variants whose product has not come."""
        return self._waiting

    def add(self, lines: Mapping[int, bytes]) -> None:
        """Take in whole lines of products by their numbers, which no variant waits for.

        Raises ArchiveUnavailable as `feed` does.
        """
        with _temporary_file():
            self._database.executemany(
                _ADD, ((_signed(product_id), line) for product_id, line in lines.items())
            )
        for product_id in self._cache.keys() & lines.keys():
            self._cached_bytes -= self._cache.pop(product_id)[1]

    def line_of(self, product_id: int) -> bytes | None:
        """The line of a product. Raises ArchiveUnavailable as `feed` does."""
        with _temporary_file():
            row = self._database.execute(_LINE_OF, (_signed(product_id),)).fetchone()
        return None if row is None else row[0]

    def _joined(self, lines: bytes) -> Iterator[tuple[T | None, dict[str, Any]]]:
        for line in lines.split(b"\n"):
            if not line or line.isspace():
                continue
            record = _record(line)
            if "__parentId" in record:
                product_id = usable_id(record["__parentId"], "Product")
                if product_id is None or usable_id(record.get("id"), "ProductVariant") is None:
                    yield None, record
                    continue
                del record["__parentId"]
                product = self._known(product_id)
                if product is None:
                    self._database.execute(
                        "INSERT INTO waiting VALUES (?, ?)", (_signed(product_id), line)
                    )
                    self._waiting += 1
                else:
                    yield product[0], record
            else:
                product_id = usable_id(record.get("id"), "Product")
                if product_id is None:
                    yield None, record
                    continue
                self._database.execute(_ADD, (_signed(product_id), line))
                made = self._product(record)
                self._keep(product_id, made, len(line))
                if self._waiting:
                    for variant in self._that_waited(product_id):
                        yield made, variant

    def orphans(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The variants whose product never came, each with the gid of that product."""
        if not self._waiting:
            return
        with closing(self._database.execute("SELECT line FROM waiting ORDER BY rowid")) as rows:
            for (line,) in rows:
                variant = _record(line)
                yield variant.pop("__parentId"), variant

    def _known(self, product_id: int) -> tuple[T] | None:
        if product_id in self._cache:
            self._cache.move_to_end(product_id)
            return (self._cache[product_id][0],)
        line = self.line_of(product_id)
        if line is None:
            return None
        made = self._product(_record(line))
        self._keep(product_id, made, len(line))
        return (made,)

    def _keep(self, product_id: int, product: T, size: int) -> None:
        if product_id in self._cache:
            self._cached_bytes -= self._cache.pop(product_id)[1]
        self._cache[product_id] = product, size
        self._cached_bytes += size
        while len(self._cache) > _CACHED_PRODUCTS or self._cached_bytes > _CACHED_BYTES:
            self._cached_bytes -= self._cache.popitem(last=False)[1][1]

    def _that_waited(self, product_id: int) -> Iterator[dict[str, Any]]:
        """The variants that waited for this product, a few in memory at a time."""
        key = (_signed(product_id),)
        with closing(
            self._database.execute("SELECT line FROM waiting WHERE product = ? ORDER BY rowid", key)
        ) as found:
            for (line,) in found:
                variant = _record(line)
                del variant["__parentId"]
                yield variant
        self._waiting -= self._database.execute(
            "DELETE FROM waiting WHERE product = ?", key
        ).rowcount


@contextmanager
def _temporary_file() -> Generator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ArchiveUnavailable(
            f"a bulk result cannot be joined in a temporary file ({error}).",
            remedy="Make room in the folder for temporary files (TMPDIR); the next sync tries "
            "again.",
        ) from error


def _record(line: bytes) -> dict[str, Any]:
    if takes_more(line, PAGE.parsed):
        raise InvalidResponse("A line of Shopify's bulk result would take too much memory.")
    try:
        record = parse_json(line)
    except UnreadableJson as error:
        raise InvalidResponse(
            f"A line of Shopify's bulk result is JSON that cannot be read: {error}."
        ) from None
    except ValueError:
        raise InvalidResponse("A line of Shopify's bulk result is not JSON.") from None
    if not is_object(record):
        raise InvalidResponse("A line of Shopify's bulk result is not an object.")
    return record


def usable_id(gid: object, type_name: str) -> int | None:
    """The number in a gid of this type; None for what is no gid, or has no number of 64 bits.

    Raises InvalidResponse for the gid of another type: the result is that of another query.
    """
    number = numeric_id(gid, type_name)
    found = _GID.fullmatch(gid) if isinstance(gid, str) else None
    if found is not None and found[1] != type_name:
        raise InvalidResponse(
            f"A line of Shopify's bulk result is of {gid!r:.60} where a {type_name} should be."
        )
    return int(number) if number is not None and int(number) < 2**64 else None


def _signed(number: int) -> int:
    # SQLite's integers are signed, of 64 bits; gids are unsigned.
    return number - 2**64 if number >= 2**63 else number
