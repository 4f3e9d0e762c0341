"""The protocol by which the modules of the adapter ask a shop: a question and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.woocommerce.talking.authentication import Method


@dataclass(frozen=True, slots=True)
class Question:
    """One request for a path below the REST root, e.g. /wc/v3/products; usually a GET.

    The status of its answer is 200 or one of `accept` and `accept_retried`. An answer with a status
    that is usually retried is returned at once if the status is in `accept_retried`, and after the
    last retry if it is in `accept`. Where `retry_slow` is false, an answer that takes too long
    raises SlowAnswer. Where `retries_if_heavy` is given, an answer that the shop breaks over raises
    HeavyAnswer after so many retries. `content` is sent as JSON. `most_retries` is 0 for a question
    that must not be asked twice.
    """

    path: str
    params: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    accept: frozenset[int] = frozenset()
    accept_retried: frozenset[int] = frozenset()
    retry_slow: bool = True
    retries_if_heavy: int | None = None
    method: Method = "GET"
    content: Mapping[str, str] | None = field(default=None, repr=False)
    most_retries: int | None = None


class Asks(Protocol):
    """Asks one shop."""

    async def ask(self, question: Question) -> Answer:
        """The answer. Raises SlowAnswer, HeavyAnswer, and the errors of model/errors.py."""
        ...
