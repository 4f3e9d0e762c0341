"""Bulk operations of one shop: start, poll, adopt, cancel.

An operation runs at Shopify, and goes on after the run that started it was killed or gave it up. So
the next run adopts or cancels an operation that was left, and starts no second one beside it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast

from connector_pipeline.model.errors import InvalidResponse, ShopDisconnected
from connector_pipeline.model.hint import FINISHED_WORK
from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import (
    is_list,
    is_object,
    object_at,
    value_at,
)
from connector_pipeline.platforms.shopify.asking import Asks
from connector_pipeline.platforms.shopify.bulk.left import ListedOperations, list_operations
from connector_pipeline.platforms.shopify.bulk.queries import (
    CANCEL_BULK,
    POLL_BULK,
    RUN_BULK,
    query_digest,
)
from connector_pipeline.platforms.shopify.bulk.status import BulkStatus
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.times import time_of

BULK_OPERATION: Final = "bulk_operation"
"""The kind of the page of the answer that started or listed an operation.

Facts: `operation`, `query`, and `created_at` of one that an earlier sync started.
"""

LAST_OPERATION: Final = "bulk_operation"
"""The word in the report's memory for the operation whose result was published last."""

_ANSWER: Final = "Shopify's answer"
_BUSY: Final = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})
_INTERVAL_GROWTH: Final = 1.5


class NoBulkResult(Exception):
    """The reason why no bulk operation brings a result now. The catalog is read by pages then."""


@dataclass(frozen=True, slots=True)
class BulkPatience:
    """How long operations are waited for, in seconds.

    Polls come `poll_interval` apart at first. Each interval is half as long again as the last, up
    to `longest_interval`. The webhook of the operation's end is followed by a poll at once, and the
    intervals after it begin anew.

    An operation whose count of objects stands still for `stalled_after`, or that is not done after
    `given_up_after`, is cancelled. Where five operations are under way, the end of one is awaited
    for `end_awaited`, and so is the end of a cancelled operation.

    An operation that an earlier sync left is adopted if it was completed no longer ago than
    `adopted_within`, or is under way for no longer than `given_up_after`.
    """

    poll_interval: float = 1.0
    longest_interval: float = 10.0
    stalled_after: float = 900.0
    given_up_after: float = 7200.0
    end_awaited: float = 120.0
    adopted_within: float = 3600.0


@dataclass(frozen=True, slots=True)
class BulkOperation:
    """An operation as a poll states it. `url` is never shown: it gives access to the result."""

    gid: str
    status: BulkStatus
    error_code: str | None = None
    objects: int = 0
    root_objects: int = 0
    created_at: datetime | None = None
    url: str | None = field(default=None, repr=False)
    has_partial_data: bool = False


class BulkOperations:
    """This app's bulk operations of `query` in one shop."""

    def __init__(
        self,
        client: Asks,
        query: str,
        *,
        patience: BulkPatience,
        report: FetchReport,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._client = client
        self._query = query
        self._digest = query_digest(query)
        self._patience = patience
        self._report = report
        self._clock = clock

    async def adopt_or_start(self, newer_than: datetime | None) -> RawPage:
        """Adopt an operation of an earlier sync, or start one; return the page of the answer.

        An adopted operation was created after `newer_than`, when the shop's last published sync
        began: older data must not be published over newer. The page of one has the fact
        `created_at`. Others that were left running are cancelled. Raises NoBulkResult if Shopify
        does not start one, and what the client raises.
        """
        try:
            return await self._left(newer_than) or await self._start()
        except (ShopDisconnected, InvalidResponse) as refused:
            # The app may lack the permission for bulk operations alone. A token that is refused
            # for everything is refused for the pages, too.
            raise NoBulkResult(f"Shopify refuses bulk operations ({refused.message})") from refused

    async def _start(self) -> RawPage:
        until = self._clock() + self._patience.end_awaited
        interval = self._patience.poll_interval
        while True:
            retries = self._report.retries
            answer = await self._client.ask(RUN_BULK, {"query": self._query})
            payload = object_at(answer.json, "data", "bulkOperationRunQuery", of=_ANSWER)
            refusal = _refusal(payload)
            if refusal is None:
                gid = _gid(object_at(payload, "bulkOperation", of=_ANSWER))
                if self._report.retries > retries:
                    # An answer was lost on the way, and its request may have started an operation.
                    await self._cancel_others(
                        await list_operations(self._client, self._digest), but=gid
                    )
                facts: dict[str, Any] = {"operation": gid, "query": self._digest}
                return RawPage(BULK_OPERATION, answer.body, facts)
            code, message = refusal
            if code not in _BUSY:
                raise NoBulkResult(f"Shopify refuses the bulk query ({code}: {message})")
            if self._clock() + interval > until:
                raise NoBulkResult(
                    f"five bulk operations of this app are under way in the shop ({code})"
                )
            interval = await self._pause(interval)

    async def adoptable(self, page: RawPage) -> bool:
        """Whether the operation of an archived page has a result, or may still have one.

        An operation of another query cannot be adopted.
        """
        gid = page.facts.get("operation")
        if page.facts.get("query") != self._digest or numeric_id(gid, "BulkOperation") is None:
            return False
        try:
            operation = await self.poll(operation_of(page))
        except InvalidResponse:
            return False
        return operation is not None and (
            operation.status.under_way or operation.status is BulkStatus.COMPLETED
        )

    async def poll(self, gid: str) -> BulkOperation | None:
        """The operation as it is now; None if the shop knows none of that id."""
        answer = await self._client.ask(POLL_BULK, {"id": gid})
        found = object_at(answer.json, "data", of=_ANSWER).get("bulkOperation", False)
        return None if found is None else _operation(found, gid)

    async def result(self, gid: str) -> BulkOperation:
        """Wait until the operation is completed, and return it.

        Raises NoBulkResult if it ends in another way, or stands still and is cancelled here.
        """
        started = moved = self._clock()
        interval = self._patience.poll_interval
        last: BulkOperation | None = None
        is_announced = False
        while True:
            try:
                operation = await self.poll(gid)
            except InvalidResponse as odd:
                raise NoBulkResult(
                    f"the state of the bulk operation cannot be read ({odd.message})"
                ) from odd
            if operation is None:
                raise NoBulkResult("Shopify knows the bulk operation no more")
            if operation.status is BulkStatus.COMPLETED:
                return operation
            if not operation.status.counts_as_running:
                raise NoBulkResult(_ended(operation))
            now = self._clock()
            if last is None or (last.status, last.objects) != (operation.status, operation.objects):
                last, moved = operation, now
            if now - moved >= self._patience.stalled_after:
                await self.cancel(gid)
                raise NoBulkResult(
                    f"the bulk operation stood still at {operation.objects} objects for "
                    f"{now - moved:.0f} s and was cancelled"
                )
            if now - started >= self._patience.given_up_after:
                await self.cancel(gid)
                raise NoBulkResult(
                    f"the bulk operation was not done after {now - started:.0f} s "
                    f"({operation.objects} objects) and was cancelled"
                )
            if is_announced or self._report.announced is None:
                interval = await self._pause(interval)
            elif is_announced := await self._is_announced(gid, interval):
                # If the state lags behind the webhook, the next polls come soon.
                interval = self._patience.poll_interval
            else:
                interval = self._longer(interval)

    async def _is_announced(self, gid: str, interval: float) -> bool:
        """Wait for the operation's webhook, until the next poll is due."""
        began = self._clock()
        announced = self._report.announced
        came = announced is not None and await announced(f"{FINISHED_WORK}{gid}", interval)
        self._report.waited_seconds += min(interval, self._clock() - began)
        if came:
            self._report.details["bulk_announced"] = True
        return came

    async def cancel(self, gid: str) -> None:
        """Cancel the operation and wait for its end, for `end_awaited` at most.

        An operation that has ended meanwhile cannot be cancelled, and that is no error.
        """
        await self._client.ask(CANCEL_BULK, {"id": gid})
        until = self._clock() + self._patience.end_awaited
        interval = self._patience.poll_interval
        while self._clock() < until:
            try:
                operation = await self.poll(gid)
            except InvalidResponse:
                return
            if operation is None or not operation.status.counts_as_running:
                return
            interval = await self._pause(interval)

    async def _left(self, newer_than: datetime | None) -> RawPage | None:
        """The page of the newest operation of an earlier sync that can be adopted, if any."""
        listed = await list_operations(self._client, self._digest)
        adopted = listed.adoptable(
            newer_than=newer_than,
            published=self._report.learned.get(LAST_OPERATION),
            longest=timedelta(seconds=self._patience.given_up_after),
            within=timedelta(seconds=self._patience.adopted_within),
        )
        await self._cancel_others(listed, but=None if adopted is None else adopted.gid)
        if adopted is None or adopted.created_at is None:
            return None
        facts: dict[str, Any] = {
            "operation": adopted.gid,
            "query": self._digest,
            "created_at": adopted.created_at.isoformat(),
        }
        return RawPage(BULK_OPERATION, listed.body, facts)

    async def _cancel_others(self, listed: ListedOperations, *, but: str | None) -> None:
        for each in listed.ours:
            if each.status.under_way and each.gid != but:
                left = self._report.details.get("bulk_cancelled", 0)
                self._report.details["bulk_cancelled"] = cast("int", left) + 1
                await self.cancel(each.gid)

    async def _pause(self, interval: float) -> float:
        self._report.waited_seconds += interval
        await asyncio.sleep(interval)
        return self._longer(interval)

    def _longer(self, interval: float) -> float:
        return min(self._patience.longest_interval, interval * _INTERVAL_GROWTH)


def created_at(page: RawPage) -> datetime | None:
    """When the operation of a page was created, if an earlier sync started it."""
    return time_of(page.facts.get("created_at"))


def operation_of(page: RawPage) -> str:
    """The gid of the operation of a `bulk_operation` page."""
    return str(page.facts["operation"])


def _ended(operation: BulkOperation) -> str:
    why = f" ({operation.error_code})" if operation.error_code else ""
    partial = ", with a part of the data, which is not used" if operation.has_partial_data else ""
    return f"the bulk operation ended as {operation.status}{why}{partial}"


def _refusal(payload: dict[str, Any]) -> tuple[str, str] | None:
    errors = payload.get("userErrors")
    if not is_list(errors):
        raise InvalidResponse("Shopify does not say whether it started a bulk operation.")
    if not errors:
        return None
    code, message = (str(value_at(errors[0], name)) for name in ("code", "message"))
    return clipped(code, most_bytes=60), clipped(message, most_bytes=200)


def _operation(node: object, gid: str) -> BulkOperation:
    if not is_object(node) or _gid(node) != gid:
        raise InvalidResponse("Shopify was asked for one bulk operation and answered for another.")
    url, error_code = node.get("url"), node.get("errorCode")
    return BulkOperation(
        gid=gid,
        status=BulkStatus.of(node),
        error_code=None if error_code is None else clipped(str(error_code), most_bytes=60),
        objects=_count(node, "objectCount"),
        root_objects=_count(node, "rootObjectCount"),
        created_at=time_of(node.get("createdAt")),
        url=url if isinstance(url, str) and url else None,
        has_partial_data=bool(node.get("partialDataUrl")),
    )


def _gid(node: object) -> str:
    gid = value_at(node, "id")
    if numeric_id(gid, "BulkOperation") is None:
        raise InvalidResponse("A bulk operation of Shopify's has no id of the form it promises.")
    return gid


def _count(node: Mapping[str, Any], name: str) -> int:
    # UnsignedInt64 comes as text.
    count = node.get(name)
    if isinstance(count, str) and count.isascii() and count.isdigit() and len(count) < 20:
        return int(count)
    if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
        return count
    raise InvalidResponse(
        f"Shopify's bulk operation counts no {name}: {clipped(repr(count), most_bytes=40)}."
    )
