"""`connector-pipeline sandbox`: the servers alone."""

import json
import signal
import subprocess
import sys
import urllib.request


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
