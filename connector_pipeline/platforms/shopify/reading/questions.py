"""Answers the questions of a walk from the raw archive or by asking the shop, some in advance."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.asking import Asks, TooExpensiveError, Variables
from connector_pipeline.platforms.shopify.queries import (
    CHANGED_PRODUCTS,
    PRODUCTS,
    SHOP,
    VARIANTS,
    VARIANTS_IN_A_SMALL_BUCKET,
    VARIANTS_PER_PAGE,
    VARIANTS_PER_PRODUCT,
)


class Client(Asks, Protocol):
    """Asks the shop, and knows whether a question would have to wait."""

    def points_are_there(self, document: str, variables: Variables) -> bool:
        """Whether the query could be sent now without waiting for points."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """One page to ask for: its kind, the cursor before it, and in an increment the search."""

    kind: str
    after: str | None = None
    product_id: str | None = None
    changed: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The page facts of the raw page. Two questions never have the same kind and facts."""
        if self.kind == "shop":
            return {}
        facts = {"product_id": self.product_id, "after": self.after, "changed": self.changed}
        return {name: fact for name, fact in facts.items() if fact is not None or name == "after"}

    @property
    def document(self) -> str:
        """The GraphQL document that asks the question."""
        if self.kind == "products":
            return PRODUCTS if self.changed is None else CHANGED_PRODUCTS
        return {"shop": SHOP, "variants": VARIANTS}[self.kind]

    @property
    def variables(self) -> dict[str, str | None]:
        """The document's variables except for its page sizes."""
        if self.kind == "shop":
            return {}
        if self.kind == "variants":
            return {"id": f"gid://shopify/Product/{self.product_id}", "after": self.after}
        changed = {} if self.changed is None else {"changed": self.changed}
        return {**changed, "after": self.after}


@dataclass(frozen=True, slots=True)
class Thrift:
    """Smaller page sizes, which are used while the points for the usual sizes are missing.

    `enough` judges the answer. If it returns false, the page is asked for again at the usual sizes.
    """

    sizes: Mapping[str, int]
    enough: Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Reply:
    """A page and its `data`."""

    page: RawPage
    data: dict[str, Any]


def _archived_reply(
    question: Question, readable: Callable[[dict[str, Any]], Any], page: RawPage
) -> Reply | None:
    """An archived page as the reply to a question, if it is one."""
    if page.kind != question.kind or page.facts != question.facts:
        return None
    try:
        data = parse_json(page.body)["data"]
        readable(data)
    except (InvalidResponse, KeyError, TypeError, ValueError):
        # The interrupted attempt failed because of this page.
        return None
    return Reply(page, data)


class Questions:
    """Answers the questions of one walk. Leaving the block cancels the questions under way."""

    def __init__(self, client: Client, *, batch_size: int, archived: ArchivedPages):
        self._client = client
        self._archived = archived
        # Sizes that turned out too expensive stay smaller for the rest of the walk.
        self._sizes: dict[str, dict[str, int]] = {
            "shop": {},
            "products": {"first": batch_size, "variants": VARIANTS_PER_PRODUCT},
            "variants": {"variants": VARIANTS_PER_PAGE},
        }
        self._under_way: dict[Question, asyncio.Task[Reply]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def ahead(self, question: Question, thrift: Thrift | None = None) -> None:
        """Ask a question now whose answer is needed later, unless archived pages are left."""
        if self._archived.exhausted and question not in self._under_way:
            self._under_way[question] = asyncio.create_task(self._ask(question, thrift))

    async def answer(self, question: Question, readable: Callable[[dict[str, Any]], Any]) -> Reply:
        """The reply to a question, from an archived page if `readable` raises no error for it.

        Raises InvalidResponse, and what the client raises.
        """
        archived = await self._archived.answer(partial(_archived_reply, question, readable))
        if archived is not None:
            return archived
        task = self._under_way.pop(question, None)
        return await (self._ask(question) if task is None else task)

    async def _ask(self, question: Question, thrift: Thrift | None = None) -> Reply:
        while True:
            usual = self._sizes[question.kind]
            sizes, thrifty = dict(usual), False
            if thrift is not None and not self._points_are_there(question, usual):
                sizes = {name: min(size, thrift.sizes[name]) for name, size in usual.items()}
                thrifty = True
            try:
                answer = await self._client.ask(question.document, {**sizes, **question.variables})
            except TooExpensiveError as error:
                self._halve(question.kind, sizes, error)
                continue
            data: dict[str, Any] = answer.json["data"]
            if thrift is None or not thrifty or thrift.enough(data):
                return Reply(RawPage(question.kind, answer.body, question.facts), data)
            thrift = None

    def _points_are_there(self, question: Question, sizes: Mapping[str, int]) -> bool:
        return self._client.points_are_there(question.document, {**sizes, **question.variables})

    def _halve(self, kind: str, asked: dict[str, int], error: TooExpensiveError) -> None:
        if (
            kind == "products"
            and error.for_the_bucket
            and asked["variants"] > VARIANTS_IN_A_SMALL_BUCKET
        ):
            self._sizes[kind]["variants"] = VARIANTS_IN_A_SMALL_BUCKET
            return
        name = next((name for name, size in asked.items() if size > 1), None)
        if name is None:
            raise InvalidResponse("Shopify finds even the smallest page too expensive.") from error
        # Of several questions too expensive at once, only the first makes the page smaller.
        self._sizes[kind][name] = min(self._sizes[kind][name], asked[name] // 2)
