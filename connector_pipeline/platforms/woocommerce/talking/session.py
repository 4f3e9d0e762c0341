"""Asks one WooCommerce shop: its key, and its REST root."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer, OriginHttp
from connector_pipeline.platforms.kit.credentials import ShopCredentials, same_secrets
from connector_pipeline.platforms.woocommerce.talking.asking import Question
from connector_pipeline.platforms.woocommerce.talking.authentication import (
    Authentication,
    WooCommerceCredentials,
    presented,
)
from connector_pipeline.platforms.woocommerce.talking.discovery import api_elsewhere
from connector_pipeline.platforms.woocommerce.talking.refusals import (
    SECRET_IS_WRONG,
    error_code,
    error_of,
    no_api_here,
    trouble_page,
)

REST_ROOT: Final = "/wp-json"
# For shops that have no /wp-json: docs/facts/woocommerce.md, Plain permalinks.
PLAIN_PERMALINKS_ROOT: Final = "/index.php/wp-json"


@dataclass(frozen=True, slots=True)
class Access:
    """The way to ask a shop, as a session found it.

    `base_url` is the URL at which its redirects end. `root` is the path of its REST API, and
    `authentication` the way in which it takes its key.
    """

    base_url: str
    root: str
    authentication: Authentication

    def particulars(self, base_url: str) -> dict[str, str]:
        """The details that differ from `base_url` and the usual values, for the fetch report."""
        shown = {
            "base_url": (self.base_url, base_url),
            "rest_root": (self.root, REST_ROOT),
            "authentication": (self.authentication.value, Authentication.BASIC.value),
        }
        return {name: found for name, (found, usual) in shown.items() if found != usual}


class WooCommerceSession:
    """Sends requests with one shop's `credentials`, which it renews after a 401.

    `http` sends to `base_url`, which ends with the shop's `path`, if it has one. The session tries
    the `ways` to present the key until the shop takes one. `known` is what an earlier session
    found. Tasks of one event loop may share a session; it is not thread-safe. Raises the errors of
    model/errors.py.
    """

    def __init__(
        self,
        http: OriginHttp,
        credentials: ShopCredentials[WooCommerceCredentials],
        *,
        base_url: str,
        ways: Sequence[Authentication],
        path: str = "",
        known: Access | None = None,
    ):
        self._http = http
        self._credentials = credentials
        self._base_url = base_url
        self._path = path
        self._ways = tuple(ways)
        self._way = self._ways[0] if known is None else known.authentication
        self._way_taken = known is not None
        self._root = REST_ROOT if known is None else known.root
        self._root_answered = known is not None
        self._same_key = False

    @property
    def root(self) -> str:
        """The path below which this shop's REST API answers."""
        return self._root

    @property
    def access(self) -> Access | None:
        """The way to ask the shop; None until it has answered with status 200."""
        return Access(self._base_url, self._root, self._way) if self._way_taken else None

    def go_on_below(self, root: str) -> None:
        """Use the REST root that an interrupted attempt at the same sync found."""
        if root in (REST_ROOT, PLAIN_PERMALINKS_ROOT):
            self._root = root
            self._root_answered = True

    async def ask(self, question: Question) -> Answer:
        """The answer to a question. A status that the question does not accept raises an error.

        The first question of a session must be asked alone, for a path that every shop has, because
        the session finds the root and the way to present the key with it.
        """
        answer = await self._authenticated(question)
        if answer.status == 404 and not self._root_answered:
            self._root = PLAIN_PERMALINKS_ROOT
            answer = await self._authenticated(question)
            if answer.status == 404:
                raise trouble_page(answer, question.path) or await self._no_api_here()
        self._root_answered = True
        if answer.status not in {200} | question.accept | question.accept_retried:
            raise error_of(answer, question.path, same_key=self._same_key)
        return answer

    async def _no_api_here(self) -> InvalidResponse:
        found = await api_elsewhere(self._http, self._base_url, self._path)
        return no_api_here(self._base_url, (REST_ROOT, PLAIN_PERMALINKS_ROOT), found)

    async def _authenticated(self, question: Question) -> Answer:
        credentials = await self._credentials.current()
        answer = await self._presented(question, credentials)
        if answer.status == 401:
            # A merchant may replace a key during a long walk. The walk goes on with the fresh one.
            self._credentials.refused(credentials)
            fresh = await self._credentials.current()
            self._same_key = same_secrets(credentials, fresh)
            answer = await self._presented(question, fresh)
        return answer

    async def _presented(self, question: Question, credentials: WooCommerceCredentials) -> Answer:
        """The answer to the key, presented in the known way or in each way until one is taken."""
        ways = (self._way,) if self._way_taken else self._ways
        answer: Answer | None = None
        for way in ways:
            answer = await self._send(question, credentials, way)
            if answer.status == 200:
                self._way, self._way_taken = way, True
            if not _looks_unpresented(answer):
                break
        assert answer is not None  # noqa: S101  there is always a way
        return answer

    async def _send(
        self, question: Question, credentials: WooCommerceCredentials, way: Authentication
    ) -> Answer:
        headers, signer = presented(credentials, way, method=question.method)
        return await self._http.request(
            question.method,
            self._root + question.path,
            params=question.params,
            headers=headers,
            signer=signer,
            accept_retried=question.accept_retried,
            accept_in_the_end=question.accept,
            retry_slow=question.retry_slow,
            retries_if_heavy=question.retries_if_heavy,
            content=question.content,
            most_retries=question.most_retries,
        )


def _looks_unpresented(answer: Answer) -> bool:
    """Whether a refusal may mean that the key did not arrive.

    WooCommerce answers an unknown key and no key in the same way. For a wrong secret it has another
    error code. A web server that asks for a password of its own sends no error code
    (docs/facts/woocommerce.md, Refusals and Stripped headers).
    """
    return answer.status == 401 and error_code(answer) not in (None, SECRET_IS_WRONG)
