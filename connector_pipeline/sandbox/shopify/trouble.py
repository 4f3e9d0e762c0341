"""The troubles of one shop at Shopify: heavy pages, a field that fails, answers of another shop.

docs/facts/shopify.md, HTTP statuses and Errors in a 200.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, cast

HOW_HEAVY: Final = ("504", "500", "INTERNAL_SERVER_ERROR", "Timeout", "hang")


class InvalidTrouble(ValueError):
    """A trouble that no shop can have, with the reason."""


@dataclass(frozen=True, slots=True)
class HeavyPages:
    """Each page asked for with more than so many fails, after `seconds`.

    `first` is of products, `variants` of the variants of a product. `how` is a status, the code of
    an error in a 200, "Timeout" for such an error without a code, or "hang" for no answer at all.
    """

    first: int | None = None
    variants: int | None = None
    how: str = "504"
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.how not in HOW_HEAVY:
            raise InvalidTrouble(f"how {self.how!r}: expected one of {', '.join(HOW_HEAVY)}")

    def too_much(self, variables: Mapping[str, Any]) -> bool:
        """Whether a query with these variables is for a page that fails."""
        return any(
            most is not None and isinstance(asked := variables.get(name), int) and asked > most
            for name, most in (("first", self.first), ("variants", self.variants))
        )


@dataclass(frozen=True, slots=True)
class FailingField:
    """One field of one product, or of one of its variants, that is an error in every answer.

    `code` is the error's `extensions.code`; None for an error without one.
    """

    field: str
    product: int | None = None
    variant: int | None = None
    message: str = "Internal error. Looks like something went wrong on our end."
    code: str | None = None

    def __post_init__(self) -> None:
        if (self.product is None) is (self.variant is None):
            raise InvalidTrouble("partial: expected a product or a variant")

    def hits(self, type_name: str, record_id: int, field: str) -> bool:
        """Whether this is the field."""
        if field != self.field:
            return False
        if type_name == "Product":
            return record_id == self.product
        return type_name == "ProductVariant" and record_id == self.variant


@dataclass(frozen=True, slots=True)
class Trouble:
    """The shop's troubles. `answers_as` is the domain that it says it has.

    `more_variants` is by how many the count of the shop's variants is too large.
    """

    heavy: HeavyPages | None = None
    partial: FailingField | None = None
    answers_as: str | None = None
    more_variants: int = 0


def trouble_from_json(body: Mapping[str, Any]) -> Trouble:
    """Read a trouble sent over HTTP; ids may be text. Raises InvalidTrouble, TypeError."""
    _refuse_unknown(body, Trouble)
    heavy, partial = body.get("heavy"), body.get("partial")
    return Trouble(
        heavy=None if heavy is None else _read(HeavyPages, heavy),
        partial=None if partial is None else _read(FailingField, _with_numbers(partial)),
        answers_as=body.get("answers_as"),
        more_variants=int(body.get("more_variants", 0)),
    )


def _read(model: Any, body: Mapping[str, Any]) -> Any:
    _refuse_unknown(body, model)
    return model(**body)


def _with_numbers(body: Mapping[str, Any]) -> dict[str, Any]:
    ids = {name: int(body[name]) for name in ("product", "variant") if body.get(name) is not None}
    return {**cast("dict[str, Any]", body), **ids}


def _refuse_unknown(body: Mapping[str, Any], model: Any) -> None:
    unknown = sorted(body.keys() - {each.name for each in fields(model)})
    if unknown:
        raise InvalidTrouble(f"unknown: {', '.join(unknown)}")
