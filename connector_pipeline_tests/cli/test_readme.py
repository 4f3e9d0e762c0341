"""Every command of the README does what the README says."""

import re
import shlex
from pathlib import Path

import pytest

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.cli.conftest import Command

PROJECT = Path(__file__).parents[2]
ACME = ShopSpec(
    platform="shopify",
    domain="acme.myshopify.com",
    merchant_id="m-1",
    platform_shop_id="1",
    products=5,
)


def commands() -> list[list[str]]:
    """The words of each command in the README's shell blocks, in their order."""
    readme = (PROJECT / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_its_make_targets_are_run_by_ci() -> None:
    """What is not a command of ours is a make target, and CI runs each."""
    ci = (PROJECT / ".ci" / "run").read_text()
    makes = [words for words in commands() if words[0] == "make"]
    assert [words[1] for words in makes] == ["dev", "test"]
    assert all(" ".join(words) in ci for words in makes)


def test_its_commands_work_in_their_order(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Token Service that knows the shop of the examples."""
    with SandboxServer([*DEFAULT_SHOPS, ACME]) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        shop = DEFAULT_SHOPS[0]
        key = f"{shop.platform}/{shop.domain}"
        command("shops", "add", key, "--merchant-id", shop.merchant_id)
        command("sync", key)
        ours = [words[1:] for words in commands() if words[0].endswith("connector-pipeline")]
        assert ["doctor"] in ours
        for words in ours:
            ended = command(*words)
            assert ended.status == 0, (words, ended)
