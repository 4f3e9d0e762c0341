"""The file of an import is read whole or not at all, and the error names every bad line."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.storable import shows
from connector_pipeline.state.shop_csv import HEADER, parse_shops

HEAD = ",".join(HEADER)
GOOD = "m1,shopify,101,acme.myshopify.com"


def lines_named(error: pytest.ExceptionInfo[InvalidShop]) -> list[int]:
    """The line numbers at the start of the message's lines."""
    return [int(number) for number in re.findall(r"^line (\d+):", str(error.value), re.MULTILINE)]


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}\n{GOOD}\n",
        f"{HEAD}\n{GOOD}",
        f"{HEAD}\r\n{GOOD}\r\n",
        f"\ufeff{HEAD}\n{GOOD}\n",
        f'{HEAD}\n"m1","shopify","101","acme.myshopify.com"\n',
        f"{HEAD}\n\n{GOOD}\n\n",
    ],
    ids=["LF", "no last newline", "CRLF", "BOM", "quoted", "empty lines"],
)
def test_a_file_that_a_spreadsheet_wrote_is_read(content: str) -> None:
    """Each dialect gives the same shop."""
    shop = Shop(
        merchant_id="m1",
        platform_name="shopify",
        platform_shop_id="101",
        domain="acme.myshopify.com",
    )
    assert parse_shops(content.encode()) == [shop]


def test_quoted_fields_may_hold_commas_and_quotes() -> None:
    """A doubled quote is a quote, as usual in CSV."""
    content = f'{HEAD}\n"m,""1""",woocommerce,7,shop.example.com\n'
    assert parse_shops(content.encode())[0].merchant_id == 'm,"1"'


@pytest.mark.parametrize(
    "header",
    ["", "merchant_id,platform_name,domain", HEAD + ",currency", HEAD.upper(), HEAD + " ", GOOD],
)
def test_another_header_is_refused(header: str) -> None:
    """A file with other columns was not made for this import."""
    with pytest.raises(InvalidShop, match="header must be exactly") as error:
        parse_shops(f"{header}\n{GOOD}\n".encode())
    assert lines_named(error) == [1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("m1,shopify,101", "3 fields"),
        (GOOD + ",SEK", "5 fields"),
        (",shopify,101,acme.myshopify.com", "merchant_id must not be empty"),
        ("m1,shopify, 101,acme.myshopify.com", "platform_shop_id must not"),
        ("m1,Shopify,101,acme.myshopify.com", "'Shopify' is not a platform"),
        ("m1,shopify,101,ACME.myshopify.com", "not a Shopify shop's domain"),
        ("m1,shopify,101,shop.example.com", "not a Shopify shop's domain"),
        ("m1,woocommerce,101,https://shop.example.com", "not a host name"),
        ("m1,woocommerce,101,shop.example.com/path", "not a host name"),
        ('m1,shopify,"10\n1",acme.myshopify.com', "platform_shop_id must not"),
        ("m1,shopify,10\u202e1,acme.myshopify.com", "platform_shop_id must not"),
        (f"{'ß' * 128},shopify,101,acme.myshopify.com", "longer than 255 bytes"),
        (f"m1,woocommerce,101,{'a.' * 4_000}example", "not a host name"),
        ('m1,sho"pify,101,acme.myshopify.com', "is not a platform"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(line: str, reason: str) -> None:
    """Good lines stand around it; the error has its number in the file."""
    content = f"{HEAD}\n{GOOD}\n{line}\nm2,woocommerce,2,two.example.com\n"
    with pytest.raises(InvalidShop, match=re.escape(reason)) as error:
        parse_shops(content.encode())
    assert lines_named(error) == [3]


def test_every_bad_line_is_named_in_one_error() -> None:
    """An operator corrects the file once; a field with a line break counts as the lines it has."""
    content = f'{HEAD}\nx\n{GOOD}\n"m\n3",shopify,3,c.myshopify.com\n{GOOD}\nm2,shopify,2,b\n'
    with pytest.raises(InvalidShop) as error:
        parse_shops(content.encode())
    assert lines_named(error) == [2, 4, 6, 7]
    assert "is on line 3 already" in str(error.value)


def test_a_quote_that_is_never_closed_is_named_where_it_opens() -> None:
    """It does not swallow the rest of the file."""
    with pytest.raises(InvalidShop, match="not CSV") as error:
        parse_shops(f'{HEAD}\n{GOOD}\n"m2,shopify,2,b.myshopify.com\n{GOOD}\n'.encode())
    assert lines_named(error) == [3]


def test_a_file_in_another_encoding_is_refused() -> None:
    """The error names its first line that is not UTF-8."""
    with pytest.raises(InvalidShop, match="not UTF-8") as error:
        parse_shops(f"{HEAD}\nmärchant,shopify,1,a.myshopify.com\n".encode("latin-1"))
    assert lines_named(error) == [2]


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).filter(shows)
shops = st.builds(
    Shop,
    merchant_id=names,
    platform_name=st.just("shopify"),
    platform_shop_id=names,
    domain=st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}\.myshopify\.com", fullmatch=True),
)


@given(
    st.lists(shops, unique_by=lambda shop: shop.domain),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
def test_a_file_that_a_csv_writer_wrote_is_read_back(
    given_shops: list[Shop], line_end: str, quoting: int, bom: bool
) -> None:
    """Any names, in any of the customary dialects."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(HEADER)
    for shop in given_shops:
        writer.writerow([getattr(shop, name) for name in HEADER])
    content = file.getvalue().encode("utf-8-sig" if bom else "utf-8")
    assert parse_shops(content) == given_shops


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Nothing crashes, with the right header before the bytes or without."""
    for prefix in (b"", f"{HEAD}\n".encode()):
        assert read_or_refused(prefix + content)


def read_or_refused(content: bytes) -> bool:
    """True if the file is read, or refused with a line's number."""
    try:
        parse_shops(content)
    except InvalidShop as error:
        return str(error).startswith("line ")
    return True
