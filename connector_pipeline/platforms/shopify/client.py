"""One shop's GraphQL endpoint: token, pacing, and what to do about an answer that is not data."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from connector_pipeline.model.errors import (
    InvalidResponse,
    PlatformUnavailable,
    RateLimited,
    ShopDisconnected,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http import Answer, HttpPolicy, OriginHttp
from connector_pipeline.platforms.platform import CredentialSource, FetchReport
from connector_pipeline.platforms.shopify.answers import Meaning, Verdict, verdict
from connector_pipeline.platforms.shopify.queries import requested_cost
from connector_pipeline.platforms.shopify.throttle import (
    MAX_THROTTLED_SECONDS,
    PointBudget,
    ThrottledStreak,
    actual_points,
    requested_points,
)

# A token that dies on the way would cost a request and a 401.
_EXPIRY_MARGIN: Final = timedelta(seconds=30)


def _sendable(token: SecretStr) -> SecretStr:
    # The HTTP client quotes a header value it cannot send in its exception: a token with a line
    # break must not get that far.
    value = token.get_secret_value()
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("must be printable ASCII without spaces")
    return token


class ShopifyCredentials(BaseModel):
    """What the Token Service knows of a Shopify shop. `expires_at` without a zone is UTC."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: Annotated[SecretStr, AfterValidator(_sendable)]
    expires_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether the token is dead at `now`, or will be before an answer comes."""
        if self.expires_at is None:
            return False
        expiry = self.expires_at
        if expiry.tzinfo is None:
            expiry = expiry.replace(tzinfo=UTC)
        return now >= expiry - _EXPIRY_MARGIN


Variables = Mapping[str, str | int | list[str] | None]


class TooExpensiveError(Exception):
    """The query requests more points than Shopify allows: ask for a smaller page."""


class ShopifyClient:
    """Asks one shop's GraphQL endpoint; one request at a time. Counts in `report`."""

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
        self._shop = shop
        self._credential_source = credential_source
        self._api_version = api_version
        self._policy = policy
        self._report = report
        self._clock = clock
        self._credentials: ShopifyCredentials | None = None
        self._budget: PointBudget | None = None
        self._stated_costs: dict[tuple[str, tuple[int, ...]], float] = {}
        self._points = 0.0
        self._version_checked = False

    async def ask(self, document: str, variables: Variables) -> Answer:
        """The answer with data to one query, however often it has to be asked.

        Raises TooExpensiveError, ShopDisconnected, RateLimited, PlatformUnavailable,
        InvalidResponse, TokenServiceUnavailable.
        """
        sizes = tuple(value for value in variables.values() if isinstance(value, int))
        cost = self._stated_costs.get((document, sizes)) or requested_cost(document, variables)
        if self._budget is not None:
            await self._wait(self._budget.seconds_until(cost, self._clock()))
        streak = ThrottledStreak()
        failed = 0
        confirming = False
        while True:
            answer = await self._post(document, variables)
            learned_at = self._clock()
            stated = self._learn(answer, learned_at)
            if stated is not None:
                # Shopify adjusts the cost of some fields; what it states is what it will ask for.
                self._stated_costs[document, sizes] = cost = stated
            judged = verdict(answer)
            match judged.meaning:
                case Meaning.DATA:
                    return answer
                case Meaning.TOO_EXPENSIVE:
                    raise TooExpensiveError(judged.reason)
                case Meaning.THROTTLED:
                    if self._budget is not None and not self._budget.can_ever_hold(cost):
                        raise TooExpensiveError(judged.reason)
                    wait = self._throttled_wait(cost, learned_at, streak.times)
                    streak.add(wait)
                    if streak.too_long:
                        raise RateLimited(
                            f"Shopify answered THROTTLED {streak.times} times in a row; "
                            f"the last wait would be {wait:.0f} s."
                        )
                    self._report.retries += 1
                    await self._wait(wait)
                case Meaning.REFUSED:
                    if confirming:
                        raise self._disconnected(judged)
                    # A passing 401 or 403 has been seen, tokens expire and are rotated: only what
                    # a fresh token confirms counts.
                    confirming = True
                    self._credentials = None
                    self._report.retries += 1
                case Meaning.UNAVAILABLE:
                    if not judged.retry or failed >= self._policy.max_retries:
                        raise PlatformUnavailable(self._say(judged))
                    await self._wait(self._backoff(failed))
                    failed += 1
                    self._report.retries += 1
                case Meaning.INVALID:
                    raise InvalidResponse(self._say(judged))

    async def _post(self, document: str, variables: Variables) -> Answer:
        token = await self._token()
        answer = await self._http.request(
            "POST",
            f"/admin/api/{self._api_version}/graphql.json",
            headers={"X-Shopify-Access-Token": token.get_secret_value()},
            content={"query": document, "variables": dict(variables)},
        )
        self._check_version(answer)
        return answer

    async def _token(self) -> SecretStr:
        if self._credentials is None or self._credentials.expired(datetime.now(UTC)):
            self._credentials = await self._credential_source.credentials(
                self._shop, ShopifyCredentials
            )
        return self._credentials.access_token

    def _learn(self, answer: Answer, learned_at: float) -> float | None:
        """Take in what the answer says of points; the points it says the query requests."""
        cost = _cost(answer.json)
        if cost is None:
            return None
        budget = PointBudget.from_throttle_status(cost.get("throttleStatus"), learned_at=learned_at)
        self._budget = budget or self._budget
        self._points += actual_points(cost)
        self._report.details["points"] = round(self._points)
        return requested_points(cost)

    def _throttled_wait(self, points: float, now: float, throttled: int) -> float:
        if self._budget is not None:
            wait = self._budget.seconds_until(points, now)
            if wait > 0:
                return wait
        # Throttled although the points are said to be there, or nothing is said at all.
        return self._backoff(throttled)

    def _backoff(self, attempt: int) -> float:
        return min(self._policy.retry_delay_limit, self._policy.retry_delay * 2**attempt)

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if seconds > MAX_THROTTLED_SECONDS:
            raise RateLimited(f"Shopify's points would take {seconds:.0f} s to refill.")
        self._report.waited_seconds += seconds
        await asyncio.sleep(seconds)

    def _check_version(self, answer: Answer) -> None:
        answered = answer.headers.get("X-Shopify-API-Version")
        if self._version_checked or answered is None:
            return
        self._version_checked = True
        self._report.details["api_version"] = answered
        if answered != self._api_version:
            self._report.warnings.append(
                f"Shopify answered with API version {answered[:20]!r} instead of "
                f"{self._api_version}: set SHOPIFY_API_VERSION to a version Shopify supports."
            )

    def _disconnected(self, judged: Verdict) -> ShopDisconnected:
        mend = None
        if "read_products" in judged.reason:
            mend = (
                "Not retried. Give the app the scope read_products and have the merchant approve "
                "it, then `connector-pipeline shops resume`."
            )
        return ShopDisconnected(f"{self._say(judged)} A fresh token changed nothing.", mend=mend)

    def _say(self, judged: Verdict) -> str:
        reason = judged.reason
        if self._credentials is not None:
            # Shopify's own words may quote what was sent.
            reason = reason.replace(self._credentials.access_token.get_secret_value(), "***")
        return f"Shopify {reason}."


def _cost(body: object) -> dict[str, Any] | None:
    if not isinstance(body, dict):
        return None
    extensions = cast("dict[str, Any]", body).get("extensions")
    if not isinstance(extensions, dict):
        return None
    cost = cast("dict[str, Any]", extensions).get("cost")
    return cast("dict[str, Any]", cost) if isinstance(cost, dict) else None
