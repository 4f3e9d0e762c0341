"""Reads the environment into typed settings. Every variable is named here and nowhere else."""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
)

from connector_pipeline.model.code_server_address import CodeServerAddress, parse_code_server
from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.model.setting_values import (
    AlertUrls,
    BrokerUrl,
    CodeServer,
    Cron,
    DagsterUrl,
    DeliveryUrl,
    Duration,
    ExistingFile,
    Folder,
    HostNames,
    HostsWithoutProxy,
    HttpUrl,
    Keys,
    LongDuration,
    NatsUrl,
    Networks,
    Owners,
    PostgresUrl,
    ProxyUrl,
    ShopUrlTemplate,
    Size,
    SomeTime,
    UiHosts,
)
from connector_pipeline.model.storable import clipped_lines
from connector_pipeline.model.url_secrets import secrets_in_address, secrets_in_url

_LONGEST_LINE: Final = 4_000


class SettingsError(Exception):
    """Wrong or missing settings: one line for each with the variable, the fault and an example."""

    def __init__(self, lines: list[str]):
        self.lines = [clipped_lines(line, most_bytes=_LONGEST_LINE) for line in lines]
        super().__init__("\n".join(self.lines))


ANY_SHOP: Final = "https://{domain}"

_EXAMPLES: Final = {
    "connector_home": "CONNECTOR_HOME=/var/lib/connector",
    "connector_database_url": "CONNECTOR_DATABASE_URL=postgresql://connector@db.internal/catalog",
    "dagster_postgres_url": "DAGSTER_POSTGRES_URL=postgresql+psycopg2://dagster@db.internal/dagster",
    "raw_archive_url": "RAW_ARCHIVE_URL=s3://bucket/raw",
    "raw_archive_keep": "RAW_ARCHIVE_KEEP=3",
    "raw_archive_shop_limit": "RAW_ARCHIVE_SHOP_LIMIT=10GB",
    "token_service_url": "TOKEN_SERVICE_URL=http://token-service:8000",
    "token_service_timeout": "TOKEN_SERVICE_TIMEOUT=5",
    "shopify_api_version": "SHOPIFY_API_VERSION=2026-07",
    "shopify_batch_size": "SHOPIFY_BATCH_SIZE=250",
    "shopify_bulk_threshold": "SHOPIFY_BULK_THRESHOLD=20000",
    "shopify_bulk_hosts": "SHOPIFY_BULK_HOSTS=storage.googleapis.com",
    "shopify_base_url": "SHOPIFY_BASE_URL=https://{domain}",
    "woocommerce_base_url": "WOOCOMMERCE_BASE_URL=https://{domain}",
    "woocommerce_batch_size": "WOOCOMMERCE_BATCH_SIZE=100",
    "woocommerce_statuses": "WOOCOMMERCE_STATUSES=publish",
    "woocommerce_max_concurrency": "WOOCOMMERCE_MAX_CONCURRENCY=4",
    "woocommerce_allow_http": "WOOCOMMERCE_ALLOW_HTTP=false",
    "allow_private_hosts": "ALLOW_PRIVATE_HOSTS=false",
    "connector_max_retries": "CONNECTOR_MAX_RETRIES=3",
    "connector_retry_delay": "CONNECTOR_RETRY_DELAY=1",
    "connector_proxy_url": "CONNECTOR_PROXY_URL=http://user:password@proxy.internal:3128",
    "connector_no_proxy": "CONNECTOR_NO_PROXY=127.0.0.1,.internal",
    "connector_code_server": "CONNECTOR_CODE_SERVER=127.0.0.1:4266",
    "connector_ui_hosts": "CONNECTOR_UI_HOSTS=dagster.example.com",
    "connector_owners": "CONNECTOR_OWNERS=team:catalog,ops@example.com",
    "connector_docs_url": "CONNECTOR_DOCS_URL=https://docs.example.com/connector",
    "connector_shop_deadline": "CONNECTOR_SHOP_DEADLINE=30m",
    "connector_shop_wait": "CONNECTOR_SHOP_WAIT=60s",
    "shops_per_run": "SHOPS_PER_RUN=100",
    "shops_at_once": "SHOPS_AT_ONCE=16",
    "runs_at_once": "RUNS_AT_ONCE=4",
    "run_launcher": "RUN_LAUNCHER=default",
    "celery_broker_url": "CELERY_BROKER_URL=redis://:password@redis.internal:6379/0",
    "worker_runs_at_once": "WORKER_RUNS_AT_ONCE=2",
    "worker_finish_within": "WORKER_FINISH_WITHIN=20s",
    "full_sync_every": "FULL_SYNC_EVERY=24h",
    "sync_cron": 'SYNC_CRON="0 * * * *"',
    "webhooks_url": "WEBHOOKS_URL=https://hooks.example.com",
    "webhooks_proxies": "WEBHOOKS_PROXIES=10.0.0.0/8",
    "hint_pause": "HINT_PAUSE=5s",
    "change_looks_per_minute": "CHANGE_LOOKS_PER_MINUTE=60",
    "change_look_every": "CHANGE_LOOK_EVERY=5m",
    "event_log_keep": "EVENT_LOG_KEEP=14d",
    "sync_log_keep": "SYNC_LOG_KEEP=90d",
    "alert_webhook_url": "ALERT_WEBHOOK_URL=https://alerts.internal/connector",
    "log_format": "LOG_FORMAT=text",
    "nats_url": "NATS_URL=nats://nats.internal:4222",
    "nats_stream": "NATS_STREAM=GLAM_EVENTS",
    "nats_credentials_file": "NATS_CREDENTIALS_FILE=/etc/connector/nats.creds",
    "nats_tls_ca_file": "NATS_TLS_CA_FILE=/etc/connector/ca.pem",
    "nats_tls_cert_file": "NATS_TLS_CERT_FILE=/etc/connector/client.pem",
    "nats_tls_key_file": "NATS_TLS_KEY_FILE=/etc/connector/client.key",
    "publish_product_batches": "PUBLISH_PRODUCT_BATCHES=false",
}


class Settings(BaseModel):
    """All settings, each named as its variable in lower case. docs/settings.md explains them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    connector_home: Folder = Path(".connector")
    connector_database_url: PostgresUrl | None = None
    dagster_postgres_url: DagsterUrl | None = None

    raw_archive_url: str | None = None
    raw_archive_keep: PositiveInt = 3
    raw_archive_shop_limit: Size = 10 * 10**9

    token_service_url: HttpUrl | None = None
    token_service_timeout: PositiveFloat = 5.0
    internal_jwt_secret: SecretStr | None = None

    shopify_api_version: Annotated[str, Field(pattern=r"^\d{4}-(01|04|07|10)$")] = "2026-07"
    shopify_batch_size: Annotated[int, Field(ge=1, le=250)] = 250
    shopify_bulk_threshold: Annotated[int, Field(ge=0)] = 20_000
    shopify_bulk_hosts: HostNames = "storage.googleapis.com"
    shopify_base_url: ShopUrlTemplate = ANY_SHOP

    woocommerce_base_url: ShopUrlTemplate = ANY_SHOP
    woocommerce_batch_size: Annotated[int, Field(ge=1, le=100)] = 100
    woocommerce_statuses: Annotated[
        str,
        Field(
            pattern=r"^(publish|draft|pending|private|future)(,(publish|draft|pending|private|future))*$"
        ),
    ] = "publish"
    woocommerce_max_concurrency: Annotated[int, Field(ge=1, le=32)] = 4
    woocommerce_allow_http: bool = False

    allow_private_hosts: bool = False
    connector_max_retries: Annotated[int, Field(ge=0, le=20)] = 3
    connector_retry_delay: PositiveFloat = 1.0
    connector_proxy_url: ProxyUrl | None = None
    connector_no_proxy: HostsWithoutProxy = ""

    connector_code_server: CodeServer = "127.0.0.1:4266"
    connector_ui_hosts: UiHosts = ""

    connector_owners: Owners = ""
    connector_docs_url: HttpUrl | None = None

    connector_shop_deadline: SomeTime = timedelta(minutes=30)
    connector_shop_wait: Duration = timedelta(seconds=60)
    shops_per_run: PositiveInt = 100
    shops_at_once: PositiveInt = 16
    runs_at_once: PositiveInt | None = None
    run_launcher: Literal["default", "celery"] = "default"
    celery_broker_url: BrokerUrl | None = None
    worker_runs_at_once: Annotated[int, Field(ge=1, le=256)] = 2
    worker_finish_within: Duration = timedelta(seconds=20)
    full_sync_every: Duration = timedelta(hours=24)
    sync_cron: Cron = "0 * * * *"

    webhooks_url: DeliveryUrl | None = None
    webhook_keys: Keys | None = None
    shopify_webhook_secrets: SecretStr | None = None
    webhooks_proxies: Networks = ""
    hint_pause: Duration = timedelta(seconds=5)
    change_looks_per_minute: Annotated[int, Field(ge=0, le=60_000)] = 60
    change_look_every: Duration = timedelta(minutes=5)

    event_log_keep: LongDuration = timedelta(days=14)
    sync_log_keep: LongDuration = timedelta(days=90)
    alert_webhook_url: AlertUrls | None = None
    log_format: Literal["text", "json"] = "text"

    nats_url: NatsUrl | None = None
    nats_stream: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "GLAM_EVENTS"
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    nats_token: SecretStr | None = None
    nats_credentials_file: ExistingFile | None = None
    nats_tls_ca_file: ExistingFile | None = None
    nats_tls_cert_file: ExistingFile | None = None
    nats_tls_key_file: ExistingFile | None = None
    publish_product_batches: bool = False

    @property
    def home(self) -> Path:
        """CONNECTOR_HOME as an absolute path: child processes may run elsewhere."""
        return self.connector_home.expanduser().absolute()

    @property
    def code_server(self) -> CodeServerAddress:
        """Where the code server is."""
        return parse_code_server(self.connector_code_server)

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners that the UI shows on the assets."""
        return tuple(self.connector_owners.split(",")) if self.connector_owners else ()

    @property
    def archive_url(self) -> str:
        """The fsspec URL of the raw archive."""
        return self.raw_archive_url or str(self.home / "raw")

    @property
    def only_for_a_sandbox(self) -> list[str]:
        """The variables with values that only a sandbox needs: a private host, shops over plain
        HTTP on this machine."""
        private = ["ALLOW_PRIVATE_HOSTS"] if self.allow_private_hosts else []
        return [*self.templates_of_a_sandbox, *private]

    @property
    def templates_of_a_sandbox(self) -> list[str]:
        """The variables that have shops asked over plain HTTP on this machine."""
        return [
            name.upper()
            for name in type(self).model_fields
            if name.endswith("_base_url") and _is_plain_loopback(getattr(self, name))
        ]

    @property
    def token_service_is_here(self) -> bool:
        """Whether TOKEN_SERVICE_URL names this machine's loopback interface."""
        return self.token_service_url is not None and _is_loopback(self.token_service_url)


def _is_plain_loopback(url: str) -> bool:
    return url.startswith("http://") and _is_loopback(url)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_VARIABLES: Final = tuple(name.upper() for name in Settings.model_fields)
_NAMES: Final = frozenset(_VARIABLES)


def example_of(name: str) -> str:
    """A line that sets this field of Settings in the environment; a secret one has no value."""
    return _EXAMPLES.get(name, f"{name.upper()}=")


def load_settings(**overrides: Any) -> Settings:
    """The settings that the environment has now. An empty variable is an unset one.

    `overrides` are settings by their names, and stand before the environment. Values that were read
    before are not parsed again, so this is cheap enough for every connection. Raises SettingsError
    with one line per wrong or missing variable.
    """
    # Of a variable that is not set, os.environ makes an exception, which takes ten times as long.
    present = _NAMES.intersection(os.environ)
    values = tuple([os.environ.get(each) if each in present else None for each in _VARIABLES])
    if overrides:
        return _parsed(_set(values) | overrides)
    return _kept(values)


# Kept by the values themselves: who changes the environment gets the settings of the change, and
# nobody has to say that there was one. More than one, because a test or a command that changes the
# environment for a while returns to what it was.
@lru_cache(maxsize=4)
def _kept(values: tuple[str | None, ...]) -> Settings:
    return _parsed(_set(values))


def _set(values: tuple[str | None, ...]) -> dict[str, Any]:
    return {name: value for name, value in zip(Settings.model_fields, values, strict=True) if value}


# Some of these URLs may hold no credentials. A message must not show those that they do.
_URLS: Final = tuple(name for name in Settings.model_fields if name.endswith("_url"))


def _secrets_among(values: dict[str, Any]) -> Iterator[str]:
    """What must not be shown of the values, valid or not: their errors quote them, too."""
    for name, value in values.items():
        given = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if name in _URLS:
            for url in re.split(r"[,\s]+", given):
                yield from secrets_in_url(url)
        if name == "alert_webhook_url":
            for url in given.split():
                yield from secrets_in_address(url)
        elif name.endswith(("_secret", "_password", "_token")):
            yield given
        elif name.endswith(("_secrets", "_keys")):
            yield from given.split()


def _parsed(values: dict[str, Any]) -> Settings:
    SECRETS.keep(_secrets_among(values))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines: list[str] = []
        for problem in error.errors(include_input=False, include_url=False):
            name = str(problem["loc"][0])
            example = f" Example: {_EXAMPLES[name]}" if name in _EXAMPLES else ""
            reason = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{name.upper()}: {reason}.{example}")
        raise SettingsError(lines) from None
