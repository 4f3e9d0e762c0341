"""How a setting is written: the types of their values, each with what it accepts.

A value that is refused raises ValueError with what it must be; the value itself is never quoted.
"""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, SecretStr

from connector_pipeline.model.code_server_address import parse_code_server

_KEY_CHARACTERS: Final = 32
_BARE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def _postgres_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    return url


def _readable(url: SecretStr) -> SecretStr:
    # Libraries' errors quote what they take for the port, and that may be a part of the password.
    written = url.get_secret_value()
    try:
        readable = urlsplit(written).port != 0 and not _BARE_PERCENT.search(written)
    except ValueError:
        readable = False
    if not readable:
        raise ValueError(
            "cannot be read: %, @, / and other special characters of the password must be "
            "percent-encoded (% is %25, @ is %40, / is %2F)"
        )
    return url


def _dagster_url(url: SecretStr) -> SecretStr:
    # SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3, with which dagster-postgres breaks
    # (docs/facts/dagster.md, Database driver).
    if not url.get_secret_value().startswith("postgresql+psycopg2://"):
        raise ValueError("must start with postgresql+psycopg2://")
    return _readable(url)


def _http_url(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    # Anywhere: behind an unescaped / of a password, it is not where a URL has its credentials.
    if "@" in url:
        raise ValueError("must not hold credentials")
    return url.rstrip("/")


def _delivery_url(url: str) -> str:
    if not {"?", "#"}.isdisjoint(url):
        raise ValueError("must not hold ? or #: the shop comes after it")
    return _http_url(url)


def _keys(keys: SecretStr) -> SecretStr:
    # Each shop's owner knows the secret that is made for the shop, and could find a short key.
    if any(len(key) < _KEY_CHARACTERS for key in keys.get_secret_value().split()):
        raise ValueError(f"each key must have {_KEY_CHARACTERS} characters at least, at random")
    return keys


def _shop_url_template(url: str) -> str:
    if "{domain}" not in url:
        raise ValueError("must contain {domain}")
    return _http_url(url)


_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def _host_names(written: str) -> str:
    names = [name.strip() for name in written.split(",")]
    if not all(_HOST_NAME.fullmatch(name) for name in names):
        raise ValueError("must be host names in lower case, separated by commas")
    return ",".join(names)


# Dagster refuses other teams when it loads the definitions.
_OWNER: Final = re.compile(
    r"team:[A-Za-z0-9_]+|[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)


def _owners(written: str) -> str:
    owners = [owner.strip() for owner in written.split(",")]
    if not all(_OWNER.fullmatch(owner) for owner in owners):
        raise ValueError("must be team:NAME or e-mail addresses, separated by commas")
    return ",".join(owners)


def _ui_hosts(written: str) -> str:
    names = [name.strip() for name in written.split(",")]
    if not all(_HOST_NAME.fullmatch(name) or _is_address(name) for name in names):
        raise ValueError(
            "must be host names in lower case or addresses, without ports, separated by commas"
        )
    return ",".join(names)


def _is_address(written: str) -> bool:
    try:
        ip_address(written)
    except ValueError:
        return False
    return True


_DURATION: Final = re.compile(r"([0-9]{1,6})\s*([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(written: object) -> object:
    if not isinstance(written, str):
        return written
    match = _DURATION.fullmatch(written.strip())
    if match is None:
        raise ValueError("must be a number and a unit: s, m, h or d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _some_time(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be longer than nothing")
    return duration


def _cron(written: str) -> str:
    written = " ".join(written.split())
    now = datetime.now(UTC)
    try:
        # CronSim also reads a sixth field, for seconds, which cron does not have.
        usable = written.count(" ") == 4
        for backwards in (False, True):
            next(CronSim(written, now, reverse=backwards))
    except (CronSimError, StopIteration):
        usable = False
    if not usable:
        raise ValueError(
            "must be a cron expression of five fields, read in UTC, that is due at some time"
        )
    return written


def _at_least_a_day(duration: timedelta) -> timedelta:
    if duration < timedelta(days=1):
        raise ValueError("must be at least 1d")
    return duration


_ALERT_URL: Final = re.compile(r"(?:(plain|slack|teams|pagerduty)\+)?https?://(?P<rest>\S+)")
_ROUTING_KEY: Final = re.compile(r"[0-9a-zA-Z]{32}")


def _alert_urls(written: SecretStr) -> SecretStr:
    for url in written.get_secret_value().split():
        match = _ALERT_URL.fullmatch(url)
        try:
            parts = urlsplit(f"https://{match['rest']}") if match is not None else None
        except ValueError:
            parts = None
        if match is None or parts is None or not parts.hostname:
            raise ValueError(
                "must be URLs that start with https:// or http://, perhaps after slack+, teams+, "
                "pagerduty+ or plain+; several separated by spaces"
            )
        events = parts.hostname in ("events.pagerduty.com", "events.eu.pagerduty.com")
        is_pagerduty = match[1] == "pagerduty" or (match[1] is None and events)
        if is_pagerduty and not _ROUTING_KEY.fullmatch(parts.fragment):
            raise ValueError(
                "needs the routing key of 32 characters after a # for PagerDuty: "
                "https://events.pagerduty.com/v2/enqueue#KEY"
            )
    return written


def _proxy_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        usable = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and parts.path in ("", "/")
            and not parts.query
            and not parts.fragment
        )
    except ValueError:
        usable = False
    if not usable or not url.get_secret_value().isprintable():
        raise ValueError(
            "must be http:// or https://, perhaps user:password@ (percent-encoded), and the "
            "proxy's host:port"
        )
    return url


# `.name` is for all hosts below the name.
_NOT_PROXIED: Final = re.compile(r"\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:]*:[0-9a-f:.]+")


def _hosts_without_proxy(written: str) -> str:
    names = [name.strip().strip("[]") for name in written.split(",")]
    if not all(_NOT_PROXIED.fullmatch(name) for name in names):
        raise ValueError(
            "must be host names in lower case or addresses, separated by commas; a dot before a "
            "name is for all hosts below it"
        )
    return ",".join(names)


def _folder(path: object) -> object:
    # A mistaken URL may hold a password, and paths are shown.
    if isinstance(path, str) and "://" in path:
        raise ValueError("must be a folder of this machine, not a URL")
    return path


Cron = Annotated[str, AfterValidator(_cron)]


def _nats_url(urls: str) -> str:
    for url in urls.split(","):
        if not url.startswith(("nats://", "tls://")):
            raise ValueError("must start with nats:// or tls://, several separated by commas")
        if "@" in url:
            raise ValueError("must not hold credentials: set NATS_USER and NATS_PASSWORD")
    return urls


def _broker_url(url: SecretStr) -> SecretStr:
    written = url.get_secret_value()
    if not written.startswith(("redis://", "rediss://", "redis+socket://")):
        raise ValueError("must start with redis://, rediss:// or redis+socket://")
    return _readable(url)


def _code_server(written: str) -> str:
    return str(parse_code_server(written))


def _file(path: Path) -> Path:
    try:
        found = path.is_file()
    except OSError:
        # The path is too long, or leads through a folder that we may not enter.
        found = False
    if not found:
        raise ValueError("is not a file that can be read")
    return path


_SIZE: Final = re.compile(r"([0-9]{1,6})\s*(MB|GB|TB)")
_SIZES: Final = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def _size(written: object) -> object:
    if not isinstance(written, str):
        return written
    match = _SIZE.fullmatch(written.strip())
    if match is None or int(match[1]) == 0:
        raise ValueError("must be a number, more than 0, and a unit: MB, GB or TB")
    return int(match[1]) * _SIZES[match[2]]


Size = Annotated[int, BeforeValidator(_size)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
SomeTime = Annotated[Duration, AfterValidator(_some_time)]
LongDuration = Annotated[Duration, AfterValidator(_at_least_a_day)]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy_url)]
HostsWithoutProxy = Annotated[str, AfterValidator(_hosts_without_proxy)]
AlertUrls = Annotated[SecretStr, AfterValidator(_alert_urls)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
CodeServer = Annotated[str, AfterValidator(_code_server)]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
DagsterUrl = Annotated[SecretStr, AfterValidator(_dagster_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
DeliveryUrl = Annotated[str, AfterValidator(_delivery_url)]
Keys = Annotated[SecretStr, AfterValidator(_keys)]
NatsUrl = Annotated[str, AfterValidator(_nats_url)]
Folder = Annotated[Path, BeforeValidator(_folder)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
ShopUrlTemplate = Annotated[str, AfterValidator(_shop_url_template)]

HostNames = Annotated[str, AfterValidator(_host_names)]
UiHosts = Annotated[str, AfterValidator(_ui_hosts)]
Owners = Annotated[str, AfterValidator(_owners)]


def _networks(written: str) -> str:
    try:
        parsed = [ip_network(each.strip()) for each in written.split(",") if each.strip()]
    except ValueError:
        raise ValueError(
            "must be addresses or networks separated by commas, e.g. 10.0.0.0/8,127.0.0.1"
        ) from None
    return ",".join(map(str, parsed))


Networks = Annotated[str, AfterValidator(_networks)]
"""Addresses and networks, separated by commas."""
