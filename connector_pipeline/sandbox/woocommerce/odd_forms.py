"""Other JSON types than WooCommerce documents, as snippets and plugins of shops make them.

docs/facts/woocommerce.md, Other JSON types.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from connector_pipeline.sandbox.shops.edits import InvalidEdit
from connector_pipeline.sandbox.woocommerce.bodies import Body

Form = Callable[[Any], Any]

_VARIATIONS: Final[Mapping[str, Form]] = {
    "objects": lambda ids: [{"id": each, "name": f"#{each}"} for each in ids],
    "text": lambda ids: [str(each) for each in ids],
    "fractions": lambda ids: [float(each) for each in ids],
    "dictionary": lambda ids: {str(place): each for place, each in enumerate(ids)},
    "gaps": lambda ids: {str(2 * place): each for place, each in enumerate(ids)},
    "keyed": lambda ids: {str(each): {"id": each} for each in ids},
    "null": lambda ids: None if ids else [],
    "bare": lambda ids: dict.fromkeys(map(str, ids), ""),
    "unreadable": lambda ids: [f"{each}a" for each in ids],
}
_SCALARS: Final[Mapping[str, Form]] = {
    "text": str,
    "fraction": float,
    "number": lambda text: int(text) if str(text).isdecimal() and text != "0" else text,
    "yes": lambda flag: {True: "yes", False: "no"}.get(flag, flag),
    "one": lambda flag: {True: 1, False: 0}.get(flag, flag),
    "object": lambda images: images or {},
    "false": lambda images: images or False,
    "single": lambda images: images[0] if images else {},
    "list": lambda image: [image] if image else [],
}

_FIELDS: Final = (
    "id", "parent_id", "sku", "name", "manage_stock", "stock_quantity", "images", "image"
)  # fmt: skip

FORMS: Final[Mapping[str, Mapping[str, Form]]] = {
    "variations": _VARIATIONS,
    **dict.fromkeys(_FIELDS, _SCALARS),
}


def in_odd_form(body: Body, forms: Mapping[str, str]) -> Body:
    """The body with these fields in other JSON types: by field, the form's name of FORMS."""
    changed = dict(body)
    for name, form in forms.items():
        if changed.get(name) is not None:
            changed[name] = FORMS[name][form](changed[name])
    return changed


def forms_from_json(given: Mapping[str, Any]) -> dict[str, str]:
    """Read the forms of a request. Raises InvalidEdit."""
    for name, form in given.items():
        if form not in FORMS.get(name, {}):
            raise InvalidEdit(f"{name}: {form!r} is no form of a field")
    return dict(given)
