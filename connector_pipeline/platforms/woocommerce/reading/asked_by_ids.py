"""Asks a list for objects by their ids, until no more of them come."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from pydantic import JsonValue

from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage
from connector_pipeline.platforms.woocommerce.reading.lists import ListOf, ListReader

READ_BY_ID: Final = "read_by_id"
"""The fact of a page of objects that were asked for by id; its value is the ids."""


class MakeList(Protocol):
    """Makes a list of further parameters; `question` are the facts that state them."""

    def __call__(self, params: dict[str, str], question: dict[str, JsonValue], /) -> ListOf:
        """The list."""
        ...


class AskedByIds:
    """Objects that are asked for by their ids, a hundred at most.

    Those that did not come are asked for once more without the others: an odd shop cuts off a part
    of an answer. `left` came in neither. The shop counts `counted` of these, so it has and cannot
    load them; the others are gone. `obeyed` is false if others came than were asked for.
    """

    def __init__(self, ids: Sequence[int]):
        self.left: list[int] = [*ids]
        self.given: set[int] = set()
        self.counted = 0
        self.obeyed = True

    async def pages(self, reader: ListReader, make: MakeList) -> AsyncGenerator[ListPage]:
        """Yield the pages with the objects."""
        some_came = True
        while self.left and some_came and self.obeyed:
            asked: list[JsonValue] = [*self.left]
            wanted = make({"include": ",".join(map(str, self.left))}, {READ_BY_ID: asked})
            came: set[int] = set()
            async with aclosing(reader.pages(wanted)) as pages:
                async for page in pages:
                    came.update(own_id for own_id in page.ids if own_id is not None)
                    self.counted = max(0, page.total - len(came))
                    self.obeyed = came <= {*self.left}
                    if not self.obeyed:
                        return
                    yield page
            self.given |= came
            some_came = bool(came)
            self.left = [own_id for own_id in self.left if own_id not in came]
