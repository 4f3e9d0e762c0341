"""`connector-pipeline webhooks check|subscribe|unsubscribe` over the sandbox."""

import pytest

from connector_pipeline.credentials.webhook_secrets import shop_secret
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline_tests.cli.conftest import Command

SPECS = {spec.platform: spec for spec in DEFAULT_SHOPS}
SHOPIFY, WOO = (f"{name}/{SPECS[name].domain}" for name in ("shopify", "woocommerce"))
URL = "https://hooks.example.com"


def test_webhooks_are_subscribed_to_shown_and_deleted(
    command: Command,
    sandbox_shops: list[str],
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`shops list` and `doctor` know of them. What is wrong has a status of 1 and words."""
    unset = command("webhooks", "subscribe", SHOPIFY)
    assert (unset.status, unset.err.count("\n")) == (1, 1)
    assert "WEBHOOKS_URL: not set" in unset.err
    monkeypatch.setenv("WEBHOOKS_URL", URL)
    none = command("webhooks", "check", SHOPIFY, "--json")
    [row] = none.rows()
    assert (none.status, row["subscribed"], row["topics"]) == (0, False, [])
    unsigned = command("webhooks", "subscribe", SHOPIFY)
    assert unsigned.status == 1
    assert "SHOPIFY_WEBHOOK_SECRETS is not set" in unsigned.err
    [row] = command("webhooks", "check", SHOPIFY, "--json").rows()
    assert row["topics"] == [], "no delivery would have been verified, so nothing is made"
    for name, value in sandbox.webhook_environment().items():
        monkeypatch.setenv(name, value)
    [made] = command("webhooks", "subscribe", SHOPIFY, "--json").rows()
    assert (made["changed"], made["missing"], made["trouble"]) == (6, [], None)
    shown = command("webhooks", "check", SHOPIFY)
    assert shown.status == 0
    assert shown.out.startswith(f"{SHOPIFY}: products/create, products/update, products/delete")
    listed = {row["shop"]: row for row in command("shops", "list", "--json").rows()}
    assert (listed[SHOPIFY]["subscribed"], listed[WOO]["subscribed"]) == (True, None)

    with monkeypatch.context() as forgotten:
        forgotten.delenv("SHOPIFY_WEBHOOK_SECRETS")
        seen = {row["subject"]: row for row in command("doctor", "--json").rows()}["webhooks"]
    assert seen["ok"] is False
    assert "SHOPIFY_WEBHOOK_SECRETS is not set" in seen["seen"]

    unkeyed = command("webhooks", "subscribe", WOO)
    assert (unkeyed.status, "WEBHOOK_KEYS is not set" in unkeyed.err) == (1, True)
    monkeypatch.setenv("WEBHOOK_KEYS", "a-key-of-the-receiver-of-32-chars")
    refused = command("webhooks", "subscribe", WOO)
    assert refused.status == 1
    assert "Read/Write" in refused.err
    assert f"webhooks subscribe {WOO}" in refused.err
    [finding] = [row for row in command("doctor", "--json").rows() if row["subject"] == "webhooks"]
    assert finding["ok"] is True, "nothing was lost: there never was one"
    sandbox.store.shop("woocommerce", SPECS["woocommerce"].domain).credentials.may_write = True
    assert command("webhooks", "subscribe", WOO).status == 0
    for each in sandbox.store.shop("woocommerce", SPECS["woocommerce"].domain).webhooks.all():
        sandbox.store.shop("woocommerce", SPECS["woocommerce"].domain).webhooks.delete(each.id)
    sandbox.store.shop("woocommerce", SPECS["woocommerce"].domain).credentials.may_write = False
    assert command("webhooks", "subscribe", WOO).status == 1
    checked = command("webhooks", "check", WOO)
    assert checked.status == 1
    assert "Read/Write" in checked.err, "the reason stays, which a look cannot find"
    [finding] = [row for row in command("doctor", "--json").rows() if row["subject"] == "webhooks"]
    assert (finding["ok"], WOO in finding["seen"]) == (False, True)

    gone = command("webhooks", "unsubscribe", "--all", "--json")
    assert gone.status == 0
    assert {row["shop"]: row["changed"] for row in gone.rows()}[SHOPIFY] == 6
    assert {row["subscribed"] for row in command("shops", "list", "--json").rows()} == {None}


def test_a_shop_that_quotes_its_webhook_secret_puts_it_into_no_message(
    command: Command,
    sandbox_shops: list[str],
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is made of the key, so the key alone would not find it."""
    monkeypatch.setenv("WEBHOOKS_URL", URL)
    monkeypatch.setenv("WEBHOOK_KEYS", "a-key-of-the-receiver-of-32-chars")
    secret = shop_secret("a-key-of-the-receiver-of-32-chars", WOO)
    sandbox.store.shop("woocommerce", SPECS["woocommerce"].domain).credentials.may_write = True
    quoting = {"code": f"weak_{secret}", "message": f"The secret is weak: {secret}"}
    sandbox.faults.set(
        [
            FaultRule(
                "body",
                match={"path_contains": "webhooks", "body_contains": secret},
                status=400,
                body=quoting,
            )
        ]
    )
    refused = command("webhooks", "subscribe", WOO)
    assert refused.status == 1
    assert "weak_" in refused.err
    assert secret not in refused.err + refused.out


def test_an_address_without_https_and_a_missing_shop_are_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch, sandbox_shops: list[str]
) -> None:
    """Each in one line, before any shop is asked."""
    monkeypatch.setenv("WEBHOOKS_URL", "http://hooks.example.com")
    monkeypatch.setenv("ALLOW_PRIVATE_HOSTS", "false")
    plain = command("webhooks", "check", "--all")
    assert (plain.status, plain.err.count("\n")) == (1, 1)
    assert "not https" in plain.err
    assert command("webhooks", "check").status == 2
    assert command("webhooks", "check", SHOPIFY, "--all").status == 2
