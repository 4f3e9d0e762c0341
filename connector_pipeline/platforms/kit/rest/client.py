"""A client of one shop's REST API: credentials, pace, rate limit and the meaning of refusals."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.model.shop import Shop, valid_host_name
from connector_pipeline.platforms.http.challenge import TroublePages
from connector_pipeline.platforms.http.client import Answer, OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy, StatedLimit
from connector_pipeline.platforms.kit.contract import Credentials, CredentialSource, FetchReport
from connector_pipeline.platforms.kit.credentials import ShopCredentials, same_secrets
from connector_pipeline.platforms.kit.json_values import is_object
from connector_pipeline.platforms.kit.rest.pace import AdaptiveLimit, Pace
from connector_pipeline.platforms.kit.rest.paging import Params
from connector_pipeline.platforms.kit.rest.rate_headers import RateHeaders

HeldT = TypeVar("HeldT", bound=Credentials)

_PAYMENT_REQUIRED: Final = 402
_REFUSED: Final = frozenset({401, _PAYMENT_REQUIRED, 403})
_NO_PARAMS: Final[Params] = {}
_NO_PAGES: Final = TroublePages()
_USUAL_HEADERS: Final = RateHeaders()


class RestClient(Generic[HeldT]):
    """Sends GET requests with one shop's credentials, which it renews after a refusal.

    `headers` makes the headers that present the credentials. Tasks of one event loop may share a
    client.
    """

    def __init__(
        self,
        http: OriginHttp,
        credentials: ShopCredentials[HeldT],
        headers: Callable[[HeldT], Mapping[str, str]],
    ):
        self._http = http
        self._credentials = credentials
        self._headers = headers

    async def get(self, path: str, params: Params = _NO_PARAMS) -> Answer:
        """The answer with status 200 to `path` below the base URL.

        Raises ShopDisconnected where the platform refuses in JSON, and refuses fresh credentials
        too; PlatformUnavailable, RateLimited, InvalidResponse, TokenServiceUnavailable.
        """
        credentials = await self._credentials.current()
        answer = await self._send(path, params, credentials)
        if answer.status in _REFUSED:
            # A merchant may replace a key during a long walk. The walk goes on with the fresh one.
            self._credentials.refused(credentials)
            fresh = await self._credentials.current()
            answer = await self._send(path, params, fresh)
            if answer.status != 200:
                raise error_of(answer, path, same=same_secrets(credentials, fresh))
        if answer.status != 200:
            raise error_of(answer, path)
        return answer

    async def _send(self, path: str, params: Params, credentials: HeldT) -> Answer:
        headers = self._headers(credentials)
        return await self._http.request("GET", path, params=params, headers=headers)


def error_of(answer: Answer, path: str, *, same: bool = False) -> ConnectorError:
    """The error for an answer with another status than 200.

    A refusal counts as the platform's own if it is a JSON object. `same`: the Token Service, asked
    again, gave the credentials that were refused before.
    """
    if answer.status not in _REFUSED:
        return InvalidResponse(f"{path} answered {answer.status}.")
    if not is_object(answer.json):
        # A page of a firewall or a web server does not show that the credentials are bad.
        return PlatformUnavailable(
            f"{path} answered {answer.status} with a page that is not the platform's own.",
            remedy="It will be retried with the next sync. If it persists, ask the merchant "
            "whether a firewall stands before the shop.",
        )
    asked_again = (
        "and the Token Service gave the same credentials again"
        if same
        else "with freshly fetched credentials too"
    )
    return ShopDisconnected(
        f"{path} answered {answer.status}, {asked_again}.",
        # Payment is the merchant's affair: other credentials change nothing.
        about_credentials=answer.status != _PAYMENT_REQUIRED,
    )


@asynccontextmanager
async def rest_client(
    base_url: str,
    shop: Shop,
    credential_source: CredentialSource,
    model: type[HeldT],
    headers: Callable[[HeldT], Mapping[str, str]],
    *,
    policy: HttpPolicy,
    report: FetchReport,
    requests_at_once: int = 4,
    stated_limit: StatedLimit = _USUAL_HEADERS,
    trouble_pages: TroublePages = _NO_PAGES,
) -> AsyncGenerator[RestClient[HeldT]]:
    """A client of one shop. Its pace adapts to the shop, and its errors name the shop.

    `base_url` is a template of `{domain}`. `model` is the form of the shop's credentials.
    Raises InvalidShop for a domain that is no host name.
    """
    credentials = ShopCredentials(shop, credential_source, model)
    pace = Pace(AdaptiveLimit(requests_at_once), report)
    try:
        async with OriginHttp(
            base_url.replace("{domain}", valid_host_name(shop.domain)),
            policy=policy,
            report=report,
            pacer=pace,
            stated_limit=stated_limit,
            trouble_pages=trouble_pages,
        ) as http:
            yield RestClient(http, credentials, headers)
        report.details["requests_at_once"] = pace.highest
    except ConnectorError as error:
        error.of(shop.partition_key)
        raise
