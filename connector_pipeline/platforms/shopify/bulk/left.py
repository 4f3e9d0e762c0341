"""The bulk operations of our query that earlier syncs left, and which of them is of use."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from connector_pipeline.platforms.kit.json_values import objects_in, value_at
from connector_pipeline.platforms.shopify.asking import Asks
from connector_pipeline.platforms.shopify.bulk.queries import LIST_BULK, query_digest
from connector_pipeline.platforms.shopify.bulk.status import BulkStatus
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.times import time_of

_LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class LeftOperation:
    """An operation of the query in the list of the app's operations."""

    gid: str
    status: BulkStatus
    created_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedOperations:
    """The operations of the query, newest first, and the answer that lists them."""

    body: bytes
    ours: tuple[LeftOperation, ...]

    def adoptable(
        self,
        *,
        newer_than: datetime | None,
        published: object,
        longest: timedelta,
        within: timedelta,
    ) -> LeftOperation | None:
        """The newest operation whose result may be published, now or later; None if there is none.

        It was created after `newer_than`, and is not the one that was `published`. It is under way
        for less than `longest`, or was completed less than `within` ago.
        """
        now = datetime.now(UTC)
        for each in self.ours:
            if each.created_at is None or each.gid == published:
                continue
            if newer_than is not None and each.created_at <= newer_than:
                continue
            if each.status.under_way and now - each.created_at < longest:
                return each
            if (
                each.status is BulkStatus.COMPLETED
                and each.completed_at is not None
                and now - each.completed_at < within
                and now - each.created_at < longest + within
            ):
                return each
        return None


async def list_operations(client: Asks, digest: str) -> ListedOperations:
    """This app's operations of the query with this digest.

    The others in the list are not looked at, whatever form they have. Raises what the client
    raises.
    """
    answer = await client.ask(LIST_BULK, {"first": _LISTED})
    ours: list[LeftOperation] = []
    for node in objects_in(value_at(answer.json, "data", "bulkOperations", "nodes")):
        query, gid = node.get("query"), node.get("id")
        if not isinstance(query, str) or query_digest(query) != digest:
            continue
        if numeric_id(gid, "BulkOperation") is None:
            continue
        ours.append(
            LeftOperation(
                cast("str", gid),
                BulkStatus.of(node),
                time_of(node.get("createdAt")),
                time_of(node.get("completedAt")),
            )
        )
    return ListedOperations(answer.body, tuple(ours))
