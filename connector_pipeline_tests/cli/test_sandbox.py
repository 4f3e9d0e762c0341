"""`connector-pipeline sandbox`: the servers alone, and how an operator breaks their shops."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.cli.conftest import Command

PAGE: Final = Path(__file__).parents[2] / "docs" / "operating.md"
TEA: Final = "shopify/nordic-tea.myshopify.com"


def test_the_sandbox_serves_until_ctrl_c() -> None:
    """It prints the settings that lead to it, serves, and ends by SIGINT."""
    process = subprocess.Popen(
        [sys.executable, "-m", "connector_pipeline.cli", "sandbox", "--json", "--port", "4900"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        settings = json.loads(process.stdout.readline())
        url = settings["TOKEN_SERVICE_URL"].removesuffix("/token-service")
        with urllib.request.urlopen(f"{url}/sandbox/shops", timeout=300) as answer:
            assert len(json.load(answer)) == 6
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (0, "")


def test_each_way_of_the_page_to_break_a_shop_leads_to_the_error_there(
    command: Command, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what the page repairs it by does repair it."""
    monkeypatch.setenv("CONNECTOR_MAX_RETRIES", "0")
    sandbox.store.put(
        ShopSpec(*TEA.split("/"), merchant_id="m-1", platform_shop_id="1", products=3)
    )
    command("shops", "add", TEA, "--merchant-id", "m-1")
    row = r"^\| `(curl [^|]*)` \| `(\w+)` \| `(curl [^|]*)` \|$"
    ways = re.findall(row, PAGE.read_text(), re.MULTILINE)
    assert len(ways) >= 3

    def executed(line: str) -> None:
        line = line.replace("http://127.0.0.1:4010", sandbox.url)
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stderr)

    def synced() -> tuple[str, str | None]:
        [ended] = command("sync", TEA, "--type", "full", "--json").rows()
        return ended["status"], ended["error_code"]

    for breaks, error, repairs in ways:
        executed(breaks)
        assert synced() == ("failed", error)
        executed(repairs)
        assert synced() == ("succeeded", None)
