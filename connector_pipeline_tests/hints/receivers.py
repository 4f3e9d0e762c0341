"""The receiver as a process of its own, and platforms that deliver to it."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

from connector_pipeline.credentials.webhook_secrets import shop_secret
from connector_pipeline_tests.process_logs import shown_if_failed

NEW_SECRET: Final = "of-the-app-now-0123456789abcdef"
OLD_SECRET: Final = "of-the-app-before-0123456789abcd"
KEY: Final = "key-of-webhooks-0123456789abcdef"
_SERVES: Final = re.compile(r"webhooks are taken at http://127\.0\.0\.1:([0-9]+)")


def signed(body: bytes, secret: str) -> str:
    """The signature as both platforms write it."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def shopify(
    domain: str,
    topic: str,
    values: object,
    *,
    secret: str = NEW_SECRET,
    delivery_id: str | None = None,
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a delivery of Shopify."""
    body = json.dumps(values).encode()
    return body, {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": domain,
        "X-Shopify-Webhook-Id": delivery_id or str(uuid4()),
        "X-Shopify-Triggered-At": "2026-11-28T20:00:00.5Z",
        "X-Shopify-Hmac-SHA256": signed(body, secret),
    }


def woocommerce(
    domain: str, topic: str, values: object, *, secret: str | None = None
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a delivery of WooCommerce; by default with the secret of the shop."""
    body = json.dumps(values).encode()
    made = shop_secret(KEY, f"woocommerce/{domain}")
    return body, {
        "Content-Type": "application/json",
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Source": f"https://{domain}/",
        "X-WC-Webhook-Signature": signed(body, secret or made),
    }


@dataclass(frozen=True, slots=True)
class Receiving:
    """A receiver that runs. `log` is the file of all that it writes."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connection(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Deliver, and return the status of the answer."""
        connection = self.connection()
        try:
            connection.request("POST", path, body, dict(headers))
            return connection.getresponse().status
        finally:
            connection.close()

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its log, of which each is JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def receiving(database_url: str, folder: Path, **settings: str) -> Generator[Receiving]:
    """A receiver on a free port, which ends with the block."""
    log = folder / f"receiver-{uuid4()}.log"
    ours = ("CONNECTOR_", "DAGSTER", "TOKEN_SERVICE", "SHOPIFY_", "WOOCOMMERCE_", "WEBHOOK")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "connector_pipeline.cli", "webhooks", "--port", "0"],
            env={
                **environment,
                "CONNECTOR_DATABASE_URL": database_url,
                "CONNECTOR_HOME": str(folder),
                "SHOPIFY_WEBHOOK_SECRETS": f"{NEW_SECRET} {OLD_SECRET}",
                "WEBHOOK_KEYS": KEY,
                "LOG_FORMAT": "json",
                **settings,
            },
            stdout=written,
            stderr=written,
        )
    try:
        with shown_if_failed(lambda: [log]), log.open() as read:
            yield Receiving(process, _port(process, read), log)
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: IO[str]) -> int:
    text = ""
    while (found := _SERVES.search(text)) is None:
        text += log.read()
        if process.poll() is not None:
            raise AssertionError(f"the receiver ended with {process.returncode}: {text}")
    return int(found[1])
