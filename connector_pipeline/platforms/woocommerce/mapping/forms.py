"""Reads values that came in another JSON type than WooCommerce documents, if they have one meaning.

Snippets and plugins change types: ids become text, SKUs of digits become numbers, lists become
dictionaries or lists of objects, and PHP writes an empty dictionary as a list and the other way
round (docs/facts/woocommerce.md, Other JSON types). A value of no meaning, or of more than one,
raises FieldError: it is never guessed.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from connector_pipeline.platforms.kit.json_values import is_list, is_object
from connector_pipeline.platforms.kit.rejects import FieldError, optional_text

# Nineteen digits hold every id of a database. More cannot be one.
_ID: Final = re.compile(r"([1-9][0-9]{0,18})(?:\.0{1,6})?")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_DIGITS: Final = 19
_NO_ID: Final = 10**_DIGITS
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,9})?")
_FLAGS: Final = {
    "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False,
}  # fmt: skip


def own_id(value: object) -> int | None:
    """An id: 196, "196" or 196.0. None for what is none, e.g. 1.5, -3, 0, "12a" or true."""
    if type(value) is int:
        return value if 0 < value < _NO_ID else None
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _DIGITS:
        whole = int(value)
        return whole if whole > 0 and whole == value else None
    written = _ID.fullmatch(value) if isinstance(value, str) else None
    return None if written is None else int(written[1])


def parent_id(value: object) -> int | None:
    """The id of a parent, as `own_id`; 0 where the object says that it has none, e.g. "0"."""
    none = (type(value) in (int, Decimal) and value == 0) or value in ("0", "0.0")
    return 0 if none else own_id(value)


def variation_ids(value: object) -> tuple[int, ...]:
    """The ids of a product's variations: [12, 13], ["12"], [{"id": 12}], {"0": 12}, {"12": {…}}.

    Raises FieldError for another value, and for a list with an entry that has no id.
    """
    found = entries("variations", value)
    ids = tuple(_id_of(key, each) for key, each in found)
    if None in ids:
        raise FieldError("variations", "has an entry without an id", value)
    return tuple(each for each in ids if each is not None)


def _id_of(key: str | None, entry: object) -> int | None:
    if is_object(entry):
        # Without an id of its own, a key such as "12" might be an id or a position.
        return own_id(entry.get("id"))
    return own_id(entry)


def has_entries(value: object) -> bool:
    """Whether a value is not an empty list, as PHP writes it: [] or {}. Another value may be one.

    So a product whose variations cannot be understood is not taken for one without variations.
    """
    return value not in ([], {})


def entries(field: str, value: object) -> list[tuple[str | None, Any]]:
    """The entries of a list, each with its key if it is a dictionary: {"0": …, "2": …}.

    PHP makes a dictionary of a list when a snippet removes an entry. Raises FieldError for another
    value.
    """
    if is_list(value):
        return [(None, each) for each in value]
    if is_object(value) and all(map(_INDEX.fullmatch, value)):
        return list(value.items())
    raise FieldError(field, "is not a list", value)


def objects(field: str, value: object) -> list[Any]:
    """The entries of a list of objects. A single object stands for a list of it.

    Null, false, "" and {} are PHP's ways to write that there is none.
    """
    if value is None or value is False or value in ("", {}):
        return []
    if is_object(value) and not all(map(_INDEX.fullmatch, value)):
        return [value]
    return [each for _, each in entries(field, value)]


def text_of(value: object) -> object:
    """Text that PHP made a number of, because it looks like one: 100012 is "100012".

    Every other value is returned as it is. A fraction is none of these: 1.5 may have been "1.50".
    """
    return str(value) if type(value) is int else value


def title_of(value: object) -> object:
    """Text to show, as `text_of`, or a fraction as the shop writes it: the shoe size 42.5."""
    if isinstance(value, Decimal) and _NUMBER.fullmatch(str(value)):
        return str(value)
    return text_of(value)


def sku(value: object) -> str | None:
    """A SKU byte for byte, or of digits that PHP made a number of; None for null."""
    return optional_text("sku", text_of(value))


def number_of(value: object) -> object:
    """A number that PHP made text of: "5" is 5, "2.5" is 2.5. Every other value stays as it is."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return Decimal(value) if "." in value else int(value)


def flag_of(value: object) -> object:
    """A flag as text or as a number: "yes", "true", "1" and 1 are true, "no" and 0 are false.

    Every other value stays as it is.
    """
    if type(value) is int and value in (0, 1):
        return value == 1
    return _FLAGS.get(value, value) if isinstance(value, str) else value


def has_variations(product: Mapping[str, Any], never: tuple[str, ...]) -> bool:
    """Whether a product is sold as its variations, or may be: its list of them decides.

    Types of `never` have none, whatever they list.
    """
    return product.get("type") not in never and has_entries(product.get("variations"))
