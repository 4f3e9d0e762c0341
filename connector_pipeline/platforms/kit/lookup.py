"""Asks a shop by id for absent variants: which of them are gone?

The adapter says which ids it asks for and how an answer is read. This module decides whether an
answer is believed. A wrong answer could make a live item a tombstone.
"""

from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import Lookup, RawPage

StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class AnswerForIds(Generic[StateT]):
    """A shop's answer to a lookup.

    `found` has the ids that are there, each with its state as the platform reports it. `open_ids`
    are ids that the answer leaves open, e.g. because the shop counts an object that it cannot load.
    """

    page: RawPage
    found: Mapping[str, StateT]
    open_ids: Collection[str] = ()


def by_product(absent: Mapping[str, str]) -> dict[str, list[str]]:
    """Absent variants by product, for a platform whose product answers list the variants."""
    variants: defaultdict[str, list[str]] = defaultdict(list)
    for variant_id, product_id in absent.items():
        variants[product_id].append(variant_id)
    return dict(variants)


async def look_up(
    ask: Callable[[list[str]], Awaitable[AnswerForIds[StateT]]],
    *,
    absent: Mapping[str, Iterable[str]],
    witness: str,
    at_once: int,
    asked_of: str,
    is_gone: Callable[[str, StateT | None], bool] = lambda _, state: state is None,
) -> AsyncGenerator[Lookup]:
    """Ask for ids, up to `at_once` (2 or more) at a time, and judge absent variants by the answers.

    `absent` has the absent variants by the id that is asked for. `witness` is an id that the lists
    had, and every question asks for it too. An answer without the witness, or with ids that were
    not asked for, raises InvalidResponse, which begins with `asked_of`, e.g. "Acme".
    `is_gone` judges a variant by the state of its id, which is None where the id is not there.

    Where an answer leaves several ids open, each half of them is asked for again. An id that stays
    open when it is asked for alone is not gone. Raises what `ask` raises.
    """
    pending = {own_id: list(variants) for own_id, variants in absent.items()}
    questions = deque(_batches([each for each in pending if each != witness], at_once - 1))
    if pending and not questions:
        questions.append([])
    while questions:
        asked = questions.popleft()
        answer = await ask([*asked, witness])
        _believe(answer.found, {*asked, witness}, witness, asked_of)
        settled = [each for each in (*asked, witness) if each not in answer.open_ids]
        gone = [
            variant_id
            for own_id in settled
            for variant_id in pending.pop(own_id, ())
            if is_gone(variant_id, answer.found.get(own_id))
        ]
        left_open = [each for each in asked if each in pending]
        if len(left_open) > 1:
            questions.extend(_batches(left_open, (len(left_open) + 1) // 2))
        # An id that stays open when it is asked for alone is not asked for again.
        alone = pending.pop(left_open[0], []) if len(left_open) == 1 else []
        yield Lookup(answer.page, tuple(gone), tuple(alone))


def _believe(found: Collection[str], asked: Collection[str], witness: str, asked_of: str) -> None:
    if witness not in found:
        raise InvalidResponse(
            f"{asked_of} was asked for {witness}, which the shop had listed, and left it out."
        )
    if any(each not in asked for each in found):
        raise InvalidResponse(
            f"{asked_of} answered with ids it was not asked for: it seems to ignore the question."
        )


def _batches(ids: list[str], size: int) -> list[list[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
