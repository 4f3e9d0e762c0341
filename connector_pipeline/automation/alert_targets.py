"""Where alerts are posted: the targets that ALERT_WEBHOOK_URL lists, each with its form.

Each URL may hold a token and is never logged: a target is known by its form and its place in the
list.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr


class Form(StrEnum):
    """Whose format an alert is posted in. `plain` is our own, of docs/contracts.md."""

    PLAIN = "plain"
    SLACK = "slack"
    TEAMS = "teams"
    PAGERDUTY = "pagerduty"


_HOSTS: Final = {
    "hooks.slack.com": Form.SLACK,
    "hooks.slack-gov.com": Form.SLACK,
    "events.pagerduty.com": Form.PAGERDUTY,
    "events.eu.pagerduty.com": Form.PAGERDUTY,
}
# A workflow of Teams has a host of its own below one of these.
_DOMAINS: Final = {
    ".logic.azure.com": Form.TEAMS,
    ".api.powerplatform.com": Form.TEAMS,
    ".webhook.office.com": Form.TEAMS,
}


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver of alerts. `key` is PagerDuty's routing key, which the URL has after its `#`."""

    name: str
    form: Form
    url: SecretStr
    key: SecretStr | None = field(default=None)

    @property
    def digest(self) -> str:
        """A name that stays when others are added, and does not show the URL."""
        key = "" if self.key is None else self.key.get_secret_value()
        stated = f"{self.form}\n{self.url.get_secret_value()}\n{key}"
        return hashlib.sha256(stated.encode()).hexdigest()[:16]


def targets(setting: SecretStr | None) -> list[Target]:
    """The targets of ALERT_WEBHOOK_URL: URLs separated by spaces, perhaps `slack+https://…`."""
    if setting is None:
        return []
    written = setting.get_secret_value().split()
    return [_target(each, number) for number, each in enumerate(written, start=1)]


def _target(written: str, number: int) -> Target:
    prefix, plus, rest = written.partition("+")
    named = plus and "://" not in prefix
    parts = urlsplit(rest if named else written)
    form = Form(prefix) if named else _form_of(parts.hostname or "")
    key = parts.fragment if form is Form.PAGERDUTY else ""
    return Target(
        name=f"target {number} ({form.value})",
        form=form,
        url=SecretStr(urlunsplit(parts._replace(fragment=""))),
        key=SecretStr(key) if key else None,
    )


def _form_of(host: str) -> Form:
    if host in _HOSTS:
        return _HOSTS[host]
    return next(
        (form for domain, form in _DOMAINS.items() if host.endswith(domain)),
        Form.PLAIN,
    )
