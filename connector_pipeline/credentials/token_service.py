"""The Token Service: it gives a shop's credentials when they are needed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, SecretStr, ValidationError

from connector_pipeline.credentials.real_or_sandbox import SANDBOX_HEADER, SandboxGuard
from connector_pipeline.model.errors import (
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
    TokenServiceUnavailable,
)
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.url_secrets import with_logins
from connector_pipeline.platforms.http.bounds import CREDENTIALS
from connector_pipeline.platforms.http.client import Answer, OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy, own_delay
from connector_pipeline.platforms.kit.contract import Credentials, CredentialsT, FetchReport
from connector_pipeline.platforms.kit.json_values import is_object, value_at
from connector_pipeline.settings import load_settings

JWT_SUBJECT = "platform-connector"
JWT_LIFETIME = timedelta(seconds=60)

_JUDGED: Final = frozenset({401, 403, 404})
# A gateway in front has 404s of its own: pages in HTML, or JSON with a `message`.
_REASONS: Final = frozenset({"error", "errors", "detail"})


def bearer_token(secret: SecretStr, now: datetime) -> str:
    """A token that names us, for a minute (docs/contracts.md, Token Service)."""
    # Imported here: only a deployment with INTERNAL_JWT_SECRET needs it.
    import jwt

    claims = {"sub": JWT_SUBJECT, "iat": now, "exp": now + JWT_LIFETIME}
    return jwt.encode(claims, secret.get_secret_value(), algorithm="HS256")


class TokenServiceClient:
    """Credentials from the Token Service, under one correlation id."""

    def __init__(
        self,
        http: OriginHttp,
        *,
        policy: HttpPolicy,
        correlation_id: str,
        jwt_secret: SecretStr | None,
        guard: SandboxGuard | None = None,
    ):
        self._http = http
        self._policy = policy
        self._correlation_id = correlation_id
        self._jwt_secret = jwt_secret
        self._guard = guard

    async def credentials(self, shop: Shop, model: type[CredentialsT]) -> CredentialsT:
        """The shop's credentials parsed as `model`, which names the fields that it needs.

        Raises ShopDisconnected if the service itself says that it has none for the shop,
        SandboxMixedWithReal if the service and the database are not both the sandbox's or both
        real, and TokenServiceUnavailable for any other answer that breaks the contract
        (docs/contracts.md, Token Service).
        """
        key = shop.partition_key
        if self._guard is not None:
            await _judged(self._guard, self._guard.refuse_settings)
        answer = await self._answer(shop)
        if answer.status in _JUDGED and not _is_the_services_own(answer.json):
            raise TokenServiceUnavailable(
                f"the Token Service's {answer.status} is a page that is not the service's own, "
                "e.g. one of a gateway before it.",
                partition_key=key,
            )
        if self._guard is not None and answer.status in {200, *_JUDGED}:
            refuse_answer = partial(
                self._guard.refuse_answer,
                sandbox=answer.headers.get(SANDBOX_HEADER),
                has_credentials=answer.status == 200,
            )
            await _judged(self._guard, refuse_answer)
        if answer.status == 404:
            raise ShopDisconnected(
                "the Token Service has no credentials for this shop.",
                partition_key=key,
                look_at="Look whether the merchant has connected the shop, and whether the Token "
                "Service keeps its credentials under this very domain.",
            )
        if answer.status in (401, 403):
            raise TokenServiceUnavailable(
                f"the Token Service refuses us ({answer.status}).",
                partition_key=key,
                remedy="Check INTERNAL_JWT_SECRET: the service must let platform-connector in.",
            )
        if answer.status != 200:
            raise TokenServiceUnavailable(
                f"the Token Service answered {answer.status}.", partition_key=key
            )
        _keep_secrets(value_at(answer.json, "data"), model)
        try:
            return model.model_validate(answer.json["data"])
        except ValidationError as error:
            raise _unusable(key, _wrong(error) or _required(model)) from None
        except (TypeError, KeyError):
            raise _unusable(key, _required(model)) from None

    async def _answer(self, shop: Shop) -> Answer:
        """The service's answer; that of a gateway before it only if it comes after each retry."""
        attempt = 0
        while True:
            try:
                answer = await self._http.request(
                    "GET",
                    f"/api/v1/tokens/{shop.platform_name}/{shop.domain}",
                    headers=self._headers(),
                )
            except (PlatformUnavailable, InvalidResponse) as error:
                raise TokenServiceUnavailable(
                    f"the Token Service does not answer properly: {error.message}",
                    partition_key=shop.partition_key,
                ) from error
            foreign = answer.status in _JUDGED and not _is_the_services_own(answer.json)
            if not foreign or attempt >= self._policy.max_retries:
                return answer
            await asyncio.sleep(own_delay(self._policy, attempt))
            attempt += 1

    def _headers(self) -> dict[str, str]:
        headers = {"X-Correlation-ID": self._correlation_id}
        if self._jwt_secret is not None:
            token = bearer_token(self._jwt_secret, datetime.now(UTC))
            SECRETS.keep([token], while_held=True)
            headers["Authorization"] = f"Bearer {token}"
        return headers


async def _judged(guard: SandboxGuard, judge: Callable[[], None]) -> None:
    # A thread costs more than the judgement, unless that asks the database.
    if guard.at_hand():
        judge()
    else:
        await asyncio.to_thread(judge)


def _keep_secrets(data: object, model: type[BaseModel]) -> None:
    """Keep the credentials out of all messages, also those that turn out to be malformed."""
    names = [name for name in model.model_fields if name not in Credentials.model_fields]
    given = [value for name in names if isinstance(value := value_at(data, name), str)]
    SECRETS.keep(with_logins(given), while_held=True)


def _is_the_services_own(body: object) -> bool:
    """Whether the Token Service itself wrote the body of a refusal."""
    return is_object(body) and not _REASONS.isdisjoint(body)


def _unusable(partition_key: str, fields: list[str]) -> TokenServiceUnavailable:
    return TokenServiceUnavailable(
        f"the Token Service's answer lacks {' or '.join(fields)} under `data`, or has another form "
        "there than the contract's.",
        partition_key=partition_key,
    )


def _wrong(error: ValidationError) -> list[str]:
    """The fields of the model that are missing or wrong."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return list(dict.fromkeys(str(each["loc"][0]) for each in found if each["loc"]))


def _required(model: type[CredentialsT]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required()]


@dataclass(frozen=True, slots=True)
class TokenService:
    """The Token Service at `url`. INTERNAL_JWT_SECRET is read from the environment when used.

    `timeout` and `retry_delay` are in seconds. One try, from connecting to the last byte, takes no
    more than `timeout`; `retry_count` counts the tries after the first. `guard` judges each answer
    by the database's mark.
    """

    url: str
    timeout: float = 5.0
    retry_count: int = 3
    retry_delay: float = 1.0
    guard: SandboxGuard | None = None

    @asynccontextmanager
    async def open(self, correlation_id: str) -> AsyncGenerator[TokenServiceClient]:
        """A client for one sync. Raises TokenServiceUnavailable when no URL is set."""
        async with TokenServiceConnections(self) as connections:
            yield connections.client(correlation_id)


class TokenServiceConnections:
    """The connections to a Token Service that the clients of many syncs share.

    A context manager of one event loop, entered once. Nothing is connected before it is asked.
    Secrets of shops are held until its end.
    """

    def __init__(self, service: TokenService):
        self._service = service
        self._policy = HttpPolicy(
            max_retries=service.retry_count,
            retry_delay=service.retry_delay,
            connect_timeout=service.timeout,
            read_timeout=service.timeout,
            answer_timeout=service.timeout,
            bound=CREDENTIALS,
            # The Token Service may be in our own network. The operator names it, not a merchant.
            allow_private_hosts=True,
            through_proxy=False,
        )
        self._open = AsyncExitStack()
        self._http: OriginHttp | None = None

    async def __aenter__(self) -> Self:
        self._open.enter_context(SECRETS.holding())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def client(self, correlation_id: str) -> TokenServiceClient:
        """A client for one sync. Raises TokenServiceUnavailable when no URL is set."""
        if not self._service.url:
            raise TokenServiceUnavailable(
                "TOKEN_SERVICE_URL is not set.",
                remedy="Set it, or use `connector-pipeline dev`, which brings a sandbox.",
            )
        if self._http is None:
            self._http = OriginHttp(self._service.url, policy=self._policy, report=FetchReport())
            self._open.push_async_exit(self._http)
        return TokenServiceClient(
            self._http,
            policy=self._policy,
            correlation_id=correlation_id,
            jwt_secret=load_settings().internal_jwt_secret,
            guard=self._service.guard,
        )
