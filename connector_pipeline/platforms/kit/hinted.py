"""The products that the tokens of hints name, and what a platform's answers say of them.

Tokens are text of strangers: whoever can send a webhook writes them. A token that names nothing is
left out with a warning, and only the number of one that does goes into a question.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.kit.contract import FetchReport

PRODUCT: Final = ""
"""The kind of a token that is a product's id alone."""
DELETED: Final = "deleted"
"""The kind of `deleted/<id>`: the platform says that the product was deleted."""

# fullmatch, because `$` would accept a trailing newline. [0-9], because \d has other scripts.
_TOKEN: Final = re.compile(r"(?:([a-z_]{1,40})/)?([1-9][0-9]{0,18})")
_LARGEST_ID: Final = 2**63 - 1
_SHOWN: Final = 60
"""Bytes of a token in a warning."""


@dataclass(frozen=True, slots=True)
class UsableToken:
    """A token as it was given, the kind and the number in it, and the time of its change."""

    text: str
    kind: str
    number: str
    changed_at: datetime | None


def read_tokens(
    tokens: Mapping[str, datetime | None], kinds: Collection[str], report: FetchReport
) -> list[UsableToken]:
    """The tokens of these kinds: `<number>`, or `<kind>/<number>`.

    The report warns of the others, and they are left out.
    """
    found: list[UsableToken] = []
    unusable: list[str] = []
    for text, changed_at in tokens.items():
        match = _TOKEN.fullmatch(text)
        kind = PRODUCT if match is None or match[1] is None else match[1]
        if match is None or kind not in kinds or int(match[2]) > _LARGEST_ID:
            unusable.append(text)
            continue
        found.append(UsableToken(text, kind, match[2], changed_at))
    if unusable:
        example = clipped(ascii(unusable[0]), most_bytes=_SHOWN)
        report.warnings.append(
            f"{len(unusable)} hints name nothing that can be asked for, e.g. {example}. They are "
            "left out; sweeps find what changed."
        )
    return found


class HintedProducts:
    """The products that hints are about. What the platform says of each is noted, and then judged.

    The time of a token that names another thing, e.g. an inventory item, is not compared with the
    product's: the platform may change one without the other.
    """

    def __init__(self, tokens: Iterable[UsableToken] = ()):
        self._tokens: dict[str, list[UsableToken]] = {}
        self._shown: dict[str, datetime | None] = {}
        self._absent: set[str] = set()
        self._excluded: dict[str, datetime | None] = {}
        for token in tokens:
            self.add(token, token.number)

    def add(self, token: UsableToken, product_id: str) -> None:
        """Note that the token is about a product."""
        self._tokens.setdefault(product_id, []).append(token)

    def move(self, from_id: str, product_id: str) -> None:
        """Note that an id is that of a part of a product: its tokens are about the product."""
        self._absent.discard(from_id)
        self._tokens.setdefault(product_id, []).extend(self._tokens.pop(from_id, []))

    @property
    def ids(self) -> list[str]:
        """The ids of the products, in the order of the tokens."""
        return list(self._tokens)

    @property
    def absent(self) -> set[str]:
        """The products that the platform did not have."""
        return set(self._absent)

    def was_shown(self, product_id: str, updated_at: datetime | None) -> None:
        """Note that the platform has the product, and when it changed last by the answer.

        A later answer about the same product adds to it, e.g. one about its variants.
        """
        before = self._shown.get(product_id)
        if before is None or (updated_at is not None and updated_at > before):
            self._shown[product_id] = updated_at

    def was_absent(self, product_id: str) -> None:
        """Note that the platform does not have the product."""
        self._absent.add(product_id)

    def was_excluded(self, product_id: str, updated_at: datetime | None) -> None:
        """Note that the platform has an absent product, which the lists' filter leaves out."""
        self._excluded[product_id] = updated_at

    async def judge(self, report: FetchReport) -> None:
        """Put into the report what seems to be gone, and the tokens that are not answered yet.

        A token is not answered yet if its product is shown as it was before the token's time, or
        is shown although it was deleted. A product that is absent, and not in the catalog either,
        may be too new to be found: the token of its change is not answered yet.
        """
        for product_id, shown_at in self._shown.items():
            for token in self._tokens.get(product_id, ()):
                if _is_unanswered(token, shown_at):
                    report.not_yet.add(token.text)
        for product_id, shown_at in self._excluded.items():
            report.not_yet |= {
                each.text
                for each in self._tokens_of(product_id)
                if each.kind == PRODUCT and _is_unanswered(each, shown_at)
            }
        absent = self._absent - self._shown.keys()
        report.perhaps_gone |= absent
        perhaps_new = {
            product_id
            for product_id in absent - self._excluded.keys()
            if any(each.kind == PRODUCT and each.changed_at for each in self._tokens_of(product_id))
        }
        if perhaps_new and report.in_catalog is not None:
            perhaps_new -= set(await report.in_catalog(perhaps_new))
        for product_id in perhaps_new:
            report.not_yet |= {
                each.text for each in self._tokens_of(product_id) if each.kind == PRODUCT
            }

    def _tokens_of(self, product_id: str) -> list[UsableToken]:
        return self._tokens.get(product_id, [])


def _is_unanswered(token: UsableToken, shown_at: datetime | None) -> bool:
    if token.kind == DELETED:
        return token.changed_at is None or shown_at is None or _older(shown_at, token.changed_at)
    if token.kind != PRODUCT or token.changed_at is None or shown_at is None:
        return False
    return _older(shown_at, token.changed_at)


def _older(shown_at: datetime, hinted_at: datetime) -> bool:
    """Whether a time lies in an earlier second: platforms state times to the second."""
    return _second(shown_at) < _second(hinted_at)


def _second(time: datetime) -> datetime:
    return (
        (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    )
