"""A client of one shop's GraphQL endpoint: token, points, and how it goes on after an error."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable, RateLimited
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.storable import clipped
from connector_pipeline.platforms.http.client import Answer, HeavyAnswer, OriginHttp, SlowAnswer
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import CredentialSource, FetchReport
from connector_pipeline.platforms.kit.credentials import ShopCredentials
from connector_pipeline.platforms.kit.json_values import is_object, value_at
from connector_pipeline.platforms.shopify import stock_field
from connector_pipeline.platforms.shopify.answers import (
    HEAVY_STATUSES,
    JudgedAnswer,
    Meaning,
    judge,
)
from connector_pipeline.platforms.shopify.asking import (
    LOOK_AT_ITS_STATUS,
    TooExpensiveError,
    TooHeavyError,
    Variables,
)
from connector_pipeline.platforms.shopify.cost import requested_cost
from connector_pipeline.platforms.shopify.credentials import ShopifyCredentials
from connector_pipeline.platforms.shopify.failures import (
    disconnected,
    failure,
    reason,
    same_token,
    token,
    usable_in_part,
)
from connector_pipeline.platforms.shopify.throttle import (
    MAX_THROTTLED_SECONDS,
    THROTTLED_WITHOUT_BACKOFF,
    SharedBudget,
    ThrottledStreak,
    actual_points,
    requested_points,
)

_LONGEST_VERSION: Final = 20
_MOST_VERSIONS: Final = 4
"""Warnings of no more are kept: whoever answers may state another one each time."""
_LONGEST_ASIDE: Final = 15.0
"""Seconds that an answer which a sync can do without may take, or be throttled for."""
_ASIDE: Final = partial(ThrottledStreak, THROTTLED_WITHOUT_BACKOFF, _LONGEST_ASIDE)


class ShopifyClient:
    """Asks one shop's GraphQL endpoint, several questions at once where that is needed.

    The questions share the shop's points and its token. Requests and waits count in `report`.
    """

    def __init__(
        self,
        http: OriginHttp,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        api_version: str,
        policy: HttpPolicy,
        report: FetchReport,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._http = http
        self._credentials = ShopCredentials(shop, credential_source, ShopifyCredentials)
        self._api_version = api_version
        self._policy = policy
        self._report = report
        self._clock = clock
        self._budget = SharedBudget()
        # The question that waits for points gets the next ones: no small one overtakes a large one.
        self._next_for_points = asyncio.Lock()
        self._answered = asyncio.Event()
        self._stated_costs: dict[tuple[str, tuple[int, ...]], float] = {}
        self._points = 0.0
        self._versions_warned_of: set[str] = set()
        self._stock_denied = False

    def points_are_there(self, document: str, variables: Variables) -> bool:
        """Whether the query could be sent now without waiting for points."""
        cost = self._cost(document, variables)
        there = self._budget.seconds_until(cost, self._clock()) <= 0
        return there and self._budget.can_ever_hold(cost)

    async def ask(self, document: str, variables: Variables) -> Answer:
        """Send a query as often as it takes, and return the answer with data.

        Raises TooExpensiveError, ShopDisconnected, RateLimited, PlatformUnavailable,
        InvalidResponse, TokenServiceUnavailable.
        """
        return await self._ask(document, variables, is_page=False)

    async def ask_aside(self, document: str, variables: Variables) -> Answer:
        """Ask what a sync can do without: one retry, and no long wait for the answer.

        Raises what `ask` raises.
        """
        return await self._ask(document, variables, is_page=False, aside=True)

    async def ask_page(self, document: str, variables: Variables) -> Answer:
        """Ask for a page that could be asked for in smaller pieces.

        The answer may have data beside errors, if those are about fields of single products and
        came twice. Raises TooHeavyError where a smaller page may help, and what `ask`
        raises.
        """
        return await self._ask(document, variables, is_page=True)

    async def _ask(
        self, document: str, variables: Variables, *, is_page: bool, aside: bool = False
    ) -> Answer:
        cost = self._cost(document, variables)
        streak = _ASIDE() if aside else ThrottledStreak()
        retries = min(1, self._policy.max_retries) if aside else self._policy.max_retries
        failed = 0
        refused: ShopifyCredentials | None = None
        while True:
            if not self._budget.can_ever_hold(cost):
                raise TooExpensiveError(
                    f"requests {cost:.0f} points, more than the bucket holds", for_the_bucket=True
                )
            credentials = await self._credentials.current()
            asks_for_stock = not self._stock_denied
            answer, learned_at = await self._paid(
                cost, document, variables, credentials, is_page=is_page, aside=aside
            )
            stated = self._stated(answer)
            if stated is not None:
                # Shopify adjusts the cost of some fields, so its stated cost is the true one.
                self._stated_costs[document, _sizes(variables)] = cost = stated
            if asks_for_stock and stock_field.denied(answer.json):
                self._leave_stock_out()
                continue
            judged = judge(answer)
            # Tokens live 60 minutes, so a later refusal of an accepted token is a new one.
            if judged.meaning is not Meaning.REFUSED:
                refused = None
            match judged.meaning:
                case Meaning.DATA:
                    return answer
                case Meaning.TOO_EXPENSIVE:
                    raise TooExpensiveError(judged.reason)
                case Meaning.THROTTLED:
                    if self._budget.can_ever_hold(cost):
                        await self._wait_out(streak, cost, learned_at)
                case Meaning.REFUSED:
                    if refused is not None:
                        raise disconnected(judged, refused, credentials)
                    refused = credentials
                    self._report.retries += 1
                    await self._before_confirming(judged, credentials)
                case Meaning.UNAVAILABLE | Meaning.INVALID:
                    usable = is_page and usable_in_part(judged, answer, credentials)
                    again = failed < min(1, self._policy.max_retries)
                    if is_page and judged.heavy and not (again and judged.retry):
                        raise TooHeavyError(reason(judged), answer if usable else None)
                    # A field that failed once may be read the next time.
                    if usable and not again:
                        return answer
                    if failed >= retries or not (judged.retry or usable):
                        raise failure(judged)
                    await self._sleep(self._backoff(failed))
                    failed += 1
                    self._report.retries += 1

    async def _before_confirming(
        self, judged: JudgedAnswer, credentials: ShopifyCredentials
    ) -> None:
        """Get a fresh token after a refusal, or let time pass where there is none.

        A refusal may pass, and tokens expire and are replaced. So only a second one counts.
        """
        if judged.about_credentials:
            self._credentials.refused(credentials)
            if not same_token(await self._credentials.current(), credentials):
                return
        await self._sleep(self._backoff(0))

    def _leave_stock_out(self) -> None:
        self._report.retries += 1
        if not self._stock_denied:
            self._stock_denied = True
            self._report.warnings.append(stock_field.WARNING)

    async def _paid(
        self,
        cost: float,
        document: str,
        variables: Variables,
        credentials: ShopifyCredentials,
        *,
        is_page: bool,
        aside: bool,
    ) -> tuple[Answer, float]:
        """Send a query when its points are there; return the answer and the time of it."""
        async with self._next_for_points:
            while (seconds := self._budget.seconds_until(cost, self._clock())) > 0:
                await self._wait_for_points(seconds)
            reservation = self._budget.reserve(cost)
        stated: dict[str, Any] = {}
        try:
            # Only from here on: a wait for points is no fault of Shopify's.
            async with asyncio.timeout(_LONGEST_ASIDE if aside else None):
                answer = await self._http.request(
                    "POST",
                    f"/admin/api/{self._api_version}/graphql.json",
                    headers={"X-Shopify-Access-Token": token(credentials)},
                    content={
                        "query": stock_field.without(document) if self._stock_denied else document,
                        "variables": dict(variables),
                    },
                    accept_in_the_end=HEAVY_STATUSES if is_page else frozenset(),
                    retry_slow=not is_page,
                    most_retries=1 if aside else None,
                )
            stated = _stated_cost(answer.json)
        except TimeoutError as late:
            raise PlatformUnavailable(
                f"Shopify did not answer within {_LONGEST_ASIDE:.0f} s.", remedy=LOOK_AT_ITS_STATUS
            ) from late
        except SlowAnswer as slow:
            raise TooHeavyError(str(slow)) from slow
        except HeavyAnswer as heavy:
            # Retries are not left out for a page, so the answer is too large.
            large = heavy.error if isinstance(heavy.error, InvalidResponse) else None
            raise TooHeavyError(str(heavy), too_large=large) from heavy
        except PlatformUnavailable as error:
            if error.remedy == PlatformUnavailable.default_remedy:
                error.remedy = LOOK_AT_ITS_STATUS
            raise
        finally:
            learned_at = self._clock()
            self._budget.settle(
                reservation,
                status=stated.get("throttleStatus"),
                used=actual_points(stated),
                now=learned_at,
            )
            self._answered.set()
        self._check_version(answer)
        return answer, learned_at

    def _cost(self, document: str, variables: Variables) -> float:
        known = self._stated_costs.get((document, _sizes(variables)))
        return requested_cost(document, variables) if known is None else known

    def _stated(self, answer: Answer) -> float | None:
        """The points that the query requests by the answer. The points that it used are counted."""
        cost = _stated_cost(answer.json)
        self._points += actual_points(cost)
        self._report.details["points"] = round(self._points)
        return requested_points(cost)

    async def _wait_out(self, streak: ThrottledStreak, cost: float, now: float) -> None:
        """Wait until a throttled query may be sent again. Raises RateLimited past the bound."""
        wait = self._budget.seconds_until(cost, now)
        if not 0 < wait < float("inf"):
            # Shopify states that the points are there, or states nothing.
            wait = self._backoff(streak.times)
        elif streak.times >= THROTTLED_WITHOUT_BACKOFF:
            wait = max(wait, self._backoff(streak.times - THROTTLED_WITHOUT_BACKOFF))
        streak.add(wait)
        if streak.too_long:
            raise RateLimited(
                f"Shopify answered THROTTLED {streak.times} times in a row; "
                f"the last wait would be {wait:.0f} s."
            )
        self._report.retries += 1
        await self._sleep(wait)

    async def _wait_for_points(self, seconds: float) -> None:
        """Wait this long, or until an answer states more points."""
        if MAX_THROTTLED_SECONDS < seconds < float("inf"):
            raise RateLimited(f"Shopify's points would take {seconds:.0f} s to refill.")
        self._answered.clear()
        began = self._clock()
        try:
            async with asyncio.timeout(seconds if seconds < float("inf") else None):
                await self._answered.wait()
        except TimeoutError:
            self._report.waited_seconds += seconds
        else:
            self._report.waited_seconds += min(seconds, self._clock() - began)

    async def _sleep(self, seconds: float) -> None:
        self._report.waited_seconds += seconds
        await asyncio.sleep(seconds)

    def _backoff(self, attempt: int) -> float:
        return min(self._policy.retry_delay_limit, self._policy.retry_delay * 2**attempt)

    def _check_version(self, answer: Answer) -> None:
        served = answer.headers.get("X-Shopify-API-Version")
        if served is None:
            return
        served = clipped(served, most_bytes=_LONGEST_VERSION)
        self._report.details["api_version"] = served
        many = len(self._versions_warned_of) >= _MOST_VERSIONS
        if served == self._api_version or served in self._versions_warned_of or many:
            return
        self._versions_warned_of.add(served)
        self._report.warnings.append(
            f"Shopify answered with API version {served!r} instead of "
            f"{self._api_version}: set SHOPIFY_API_VERSION to a version Shopify supports "
            "(`connector-pipeline doctor` lists them)."
        )


def _sizes(variables: Variables) -> tuple[int, ...]:
    """The page sizes among the variables, on which a query's cost depends."""
    return tuple(
        len(value) if isinstance(value, list) else value
        for value in variables.values()
        if isinstance(value, int | list)
    )


def _stated_cost(body: object) -> dict[str, Any]:
    """`extensions.cost` of an answer; empty where it states none."""
    cost = value_at(body, "extensions", "cost")
    return cost if is_object(cost) else {}
