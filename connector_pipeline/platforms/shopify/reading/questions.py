"""Answers the questions of a walk from the raw archive or by asking the shop, some in advance."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import is_list, value_at
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.asking import (
    LOOK_AT_ITS_STATUS,
    Asks,
    TooExpensiveError,
    TooHeavyError,
    Variables,
)
from connector_pipeline.platforms.shopify.failed_fields import UNREAD, FailedField, failed_fields
from connector_pipeline.platforms.shopify.queries import (
    CHANGED_PRODUCTS,
    PRODUCTS,
    SHOP,
    UNREAD_CHANGED_PRODUCT,
    UNREAD_PRODUCT,
    UNREAD_VARIANT,
    VARIANTS,
    VARIANTS_PER_PAGE,
    VARIANTS_PER_PRODUCT,
)
from connector_pipeline.platforms.shopify.reading.page_sizes import PageSizes
from connector_pipeline.platforms.shopify.reading.partial import (
    failures,
    gap_in,
    with_ends,
)

_WARNED_OF: Final = 20
"""A warning names the product; of more products the report has their number only."""


class Client(Asks, Protocol):
    """Asks the shop, and knows whether a question would have to wait."""

    async def ask_page(self, document: str, variables: Variables) -> Answer:
        """The answer to a question that could be asked in smaller pieces.

        It may have data beside errors about fields of single products. Raises TooHeavyError, and
        what `ask` raises.
        """
        ...

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
    def document_of_ids(self) -> str:
        """The GraphQL document that asks for the next object alone, by its id."""
        if self.kind == "variants":
            return UNREAD_VARIANT
        return UNREAD_PRODUCT if self.changed is None else UNREAD_CHANGED_PRODUCT

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
    """A page and its `data`.

    `unread` has the id of each product of which Shopify could not read a field, and the reason.
    """

    page: RawPage
    data: dict[str, Any]
    unread: tuple[tuple[str | None, str], ...] = ()


class _TheWholeAnswerFailed(Exception):
    """An archived page with errors that are about more than fields of single products."""


def _archived_reply(
    question: Question, readable: Callable[[dict[str, Any]], Any], page: RawPage
) -> Reply | None:
    """An archived page as the reply to a question, if it is one."""
    facts = {name: fact for name, fact in page.facts.items() if name != UNREAD}
    if page.kind != question.kind or facts != question.facts:
        return None
    try:
        body = parse_json(page.body)
        reply = _reply(question, page, body)
        readable(reply.data)
    except (InvalidResponse, KeyError, TypeError, ValueError, _TheWholeAnswerFailed):
        # The interrupted attempt failed because of this page.
        return None
    return reply


def _reply(question: Question, page: RawPage, body: Any) -> Reply:
    """The page with the data that the walk needs, and with the products that could not be read."""
    kind, data = question.kind, body["data"]
    unread = page.facts.get(UNREAD)
    if isinstance(unread, str):
        return _reply_of_ids(question, page, data, unread)
    if not body.get("errors"):
        return Reply(page, data)
    failed = failed_fields(body)
    if not failed or gap_in(kind, data, failed) is not None:
        raise _TheWholeAnswerFailed
    return Reply(
        page,
        with_ends(kind, data, failed, question.product_id),
        tuple(failures(kind, data, failed, question.product_id)),
    )


def _reply_of_ids(question: Question, page: RawPage, data: Any, reason: str) -> Reply:
    """The page of the object in a gap, of which only the id was asked for."""
    first = (FailedField(0, None, reason),)
    if question.kind == "variants":
        return Reply(page, data, ((question.product_id, reason),))
    return Reply(
        page,
        with_ends("products", data, first, None),
        tuple(failures("products", data, first, None)),
    )


class Questions:
    """Answers the questions of one walk. Leaving the block cancels the questions under way.

    `report` gets the warnings about products that could not be read, and has the memory of the
    shop's page sizes.
    """

    def __init__(
        self, client: Client, *, batch_size: int, report: FetchReport, archived: ArchivedPages
    ):
        self._client = client
        self._archived = archived
        self._report = report
        self._sizes = PageSizes(
            {
                "shop": {},
                "products": {"first": batch_size, "variants": VARIANTS_PER_PRODUCT},
                "variants": {"variants": VARIANTS_PER_PAGE},
            },
            report.page_sizes,
        )
        self._products = 0
        self._smaller = 0
        self._unread: set[str | None] = set()
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

    def is_unread(self, product_id: str) -> bool:
        """Whether Shopify could not read a field of the product, so that it is rejected."""
        return product_id in self._unread

    async def answer(self, question: Question, readable: Callable[[dict[str, Any]], Any]) -> Reply:
        """The reply to a question, from an archived page if `readable` raises no error for it.

        Raises InvalidResponse, and what the client raises.
        """
        reply = await self._archived.answer(partial(_archived_reply, question, readable))
        if reply is None:
            task = self._under_way.pop(question, None)
            reply = await (self._ask(question) if task is None else task)
        if question.kind == "products":
            self._products += len(_objects("products", reply.data))
        self._warn_of(reply)
        return reply

    def _warn_of(self, reply: Reply) -> None:
        for product_id, reason in reply.unread:
            if product_id in self._unread:
                continue
            self._unread.add(product_id)
            self._report.details["products_unread"] = len(self._unread)
            if len(self._unread) <= _WARNED_OF:
                self._report.warnings.append(
                    f"Product {product_id} could not be read whole: {reason}. It is "
                    "rejected as far as it could not be read, and those rows stay as they are."
                )

    async def _ask(self, question: Question, thrift: Thrift | None = None) -> Reply:
        kind = question.kind
        remembered = self._sizes.remembered(kind)
        before_gap: int | None = None
        while True:
            usual = self._sizes.of(kind)
            sizes, thrifty = dict(usual), False
            if before_gap is not None:
                sizes = _up_to(before_gap, sizes)
            elif thrift is not None and not self._points_are_there(question, usual):
                sizes = {name: min(size, thrift.sizes[name]) for name, size in usual.items()}
                thrifty = True
            try:
                answer = await self._sent(question, sizes)
            except TooExpensiveError as error:
                if not self._sizes.too_expensive(kind, sizes, bucket=error.for_the_bucket):
                    message = "Shopify finds even the smallest page too expensive."
                    raise InvalidResponse(message) from error
                continue
            except TooHeavyError as error:
                if self._sizes.too_heavy(kind, sizes):
                    self._smaller += 1
                    self._report.details["smaller_pages"] = self._smaller
                    continue
                self._sizes.restore(kind, remembered)
                if error.partial is None:
                    raise self._given_up(question, error) from error
                answer = error.partial
            else:
                self._sizes.read_well(kind, sizes, len(_objects(kind, answer.json["data"])))
            failed = failed_fields(answer.json)
            gap = gap_in(kind, answer.json["data"], failed)
            if gap == 0:
                return await self._ids_only(question, failed)
            if gap is not None:
                before_gap = gap
                continue
            page = RawPage(kind, answer.body, question.facts)
            reply = _reply(question, page, answer.json)
            if thrift is None or not thrifty or thrift.enough(reply.data):
                return reply
            thrift = None

    async def _sent(self, question: Question, sizes: Mapping[str, int]) -> Answer:
        variables = {**sizes, **question.variables}
        if question.kind == "shop":
            return await self._client.ask(question.document, variables)
        return await self._client.ask_page(question.document, variables)

    async def _ids_only(self, question: Question, failed: tuple[FailedField, ...]) -> Reply:
        """Ask for the next object alone, by its id and the cursor behind it."""
        reason = next(each.reason for each in failed if 0 in (each.product, each.variant))
        answer = await self._client.ask(question.document_of_ids, question.variables)
        page = RawPage(question.kind, answer.body, {**question.facts, UNREAD: reason})
        return _reply(question, page, answer.json)

    def _given_up(
        self, question: Question, error: TooHeavyError
    ) -> PlatformUnavailable | InvalidResponse:
        where = (
            f"product {question.product_id}"
            if question.kind == "variants"
            else f"the product after the first {self._products}"
        )
        if error.too_large is not None:
            return InvalidResponse(
                f"{error.too_large.message} Even the smallest page is too large, at {where}.",
                remedy=error.too_large.remedy,
            )
        return PlatformUnavailable(
            f"{error} Even the smallest page fails, at {where}.", remedy=LOOK_AT_ITS_STATUS
        )

    def _points_are_there(self, question: Question, sizes: Mapping[str, int]) -> bool:
        return self._client.points_are_there(question.document, {**sizes, **question.variables})


def _up_to(gap: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes of a page that ends before the gap: the first size is that of the page."""
    name = next(iter(sizes))
    return {**sizes, name: min(gap, sizes[name])}


def _objects(kind: str, data: object) -> list[Any]:
    """The products of a page, or the variants of a page of one product's; none elsewhere."""
    path = ("products", "nodes") if kind == "products" else ("product", "variants", "nodes")
    found = value_at(data, *path)
    return found if is_list(found) else []
