"""The body in which each receiver wants an alert: ours, Slack's, Teams', PagerDuty's.

- Slack, incoming webhooks: `text` and `blocks`; a header of 150 characters, a section of 3,000.
- Teams, workflows: a message with an Adaptive Card, of 28 KB at most.
- PagerDuty, Events API v2: `routing_key`, `event_action`, `dedup_key`, `payload`; a summary of
  1,024 characters, a whole event of 512 KB.

Texts of shops and platforms go in where no receiver reads markup in them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from connector_pipeline.automation.alert import Alert
from connector_pipeline.automation.alert_targets import Form, Target
from connector_pipeline.model.storable import clipped

_SLACKS_HEADER: Final = 150
_SLACKS_SECTION: Final = 3_000
_SUMMARY: Final = 1_024
_LONGEST: Final = 2_900
"""Bytes of a text; characters are fewer."""
_DETAILS: Final = 15
"""Slack refuses more than about 13,000 characters in all, and 50 blocks."""

_TITLES: Final = {
    "shops_disconnected": "Shops became disconnected",
    "shops_failing": "Shops have failed for a day",
    "webhooks_lost": "Shops lack webhooks",
    "sweep_failing": "A sweep is failing",
    "many_shops_failing": "Many shops fail at once",
    "many_shops_refused": "Many shops refuse us at once",
}
_SEVERITIES: Final = {
    "shops_disconnected": "warning",
    "shops_failing": "warning",
    "webhooks_lost": "warning",
}


def body(alert: Alert, target: Target) -> Mapping[str, Any]:
    """The JSON object to post to the target."""
    return _FORMS[target.form](alert, target)


def _plain(alert: Alert, target: Target) -> dict[str, Any]:
    return alert.model_dump(mode="json", exclude_none=True)


def _slack(alert: Alert, target: Target) -> dict[str, Any]:
    sections = [alert.message, *_details(alert)]
    return {
        # A notification shows this, and Slack reads markup in it.
        "text": _without_markup(_cut(f"{_title(alert)}: {alert.message}")),
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": _title(alert)[:_SLACKS_HEADER]},
            },
            *(
                {
                    "type": "section",
                    "text": {"type": "plain_text", "text": _cut(text)[:_SLACKS_SECTION]},
                }
                for text in sections
            ),
        ],
    }


def _teams(alert: Alert, target: Target) -> dict[str, Any]:
    def text(written: str) -> dict[str, Any]:
        # A TextBlock would read Markdown in it.
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": written}]}

    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        {
                            "type": "TextBlock",
                            "text": _title(alert),
                            "weight": "bolder",
                            "size": "medium",
                            "wrap": True,
                        },
                        text(_cut(alert.message)),
                        *(text(line) for line in _details(alert)),
                    ],
                },
            }
        ],
    }


def _pagerduty(alert: Alert, target: Target) -> dict[str, Any]:
    return {
        "routing_key": "" if target.key is None else target.key.get_secret_value(),
        "event_action": "trigger",
        "dedup_key": alert.alert_id,
        "client": "connector-pipeline",
        "payload": {
            "summary": _cut(f"{_title(alert)}: {alert.message}")[:_SUMMARY],
            "source": "connector-pipeline",
            "severity": _SEVERITIES.get(alert.kind, "error"),
            "timestamp": alert.raised_at.isoformat(),
            "class": alert.kind,
            "custom_details": alert.model_dump(mode="json", exclude_none=True),
        },
    }


_FORMS: Final[Mapping[Form, Callable[[Alert, Target], dict[str, Any]]]] = {
    Form.PLAIN: _plain,
    Form.SLACK: _slack,
    Form.TEAMS: _teams,
    Form.PAGERDUTY: _pagerduty,
}


def _title(alert: Alert) -> str:
    return _TITLES.get(alert.kind, alert.kind)


def _details(alert: Alert) -> list[str]:
    """The shops, the sweep or the platforms, a line of at most 400 bytes each."""
    if alert.shops is not None:
        shops = alert.shops[:_DETAILS]
        lines = [f"{shop.shop} ({shop.merchant_id}): {shop.error or 'no error'}" for shop in shops]
        more = len(alert.shops) - len(shops) + (alert.shops_not_named or 0)
        lines += [f"and {more} more"] if more else []
    elif alert.sweep is not None:
        lines = [", ".join(f"{name}: {value}" for name, value in alert.sweep.items())]
    else:
        lines = [
            f"{each.platform_name}: {each.failed} of {each.shops} failed, {each.refused} refused, "
            f"most with {each.most_frequent_error}"
            for each in alert.platforms or ()
        ]
    return [clipped(line, most_bytes=400) for line in lines]


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= _LONGEST:
        return text
    return encoded[:_LONGEST].decode(errors="ignore") + "…"


def _without_markup(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:_SLACKS_SECTION]
