"""The receiver of webhooks under `connector-pipeline dev`, and the sandbox that sends to it."""

import os
import secrets
import sys
import time
from typing import Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from connector_pipeline.cli.dagster_processes import has_port
from connector_pipeline.cli.local_services import LocalServices
from connector_pipeline.cli.ports import WEBHOOKS_PORT, free_port
from connector_pipeline.cli.supervisor import Child, ChildEnded, Supervisor
from connector_pipeline.hints.secrets import shop_secret
from connector_pipeline.model.extra import Extra

_START_PATIENCE: Final = 60.0
_STOP_PATIENCE: Final = 10.0
_TRIES: Final = 5


def sandbox_secrets(services: LocalServices) -> dict[str, str]:
    """The settings by which the receiver knows the sandbox's webhooks, unless they are set.

    Nothing where `dev` has no sandbox of its own: real shops' secrets come from the environment.
    """
    if services.sandbox is None or not Extra.WEBHOOKS.installed:
        return {}
    # Imported here: the sandbox's packages are an extra.
    from connector_pipeline.sandbox.webhooks.sender import SHOPIFY_SECRET

    made = {"SHOPIFY_WEBHOOK_SECRETS": SHOPIFY_SECRET, "WEBHOOK_KEYS": secrets.token_urlsafe(32)}
    return {name: value for name, value in made.items() if not os.environ.get(name)}


def start_receiver(supervisor: Supervisor, services: LocalServices) -> str | None:
    """Start the receiver and let the sandbox send to it. Returns its URL, None if none is needed.

    It is on WEBHOOKS_PORT or the next free one. Raises ChildEnded if it does not answer in time.
    """
    wanted = services.sandbox is not None or services.settings.webhooks_url is not None
    if not wanted or not Extra.WEBHOOKS.installed:
        return None
    port = WEBHOOKS_PORT
    for _ in range(_TRIES):
        port = free_port(port)
        if _started(supervisor, port):
            url = f"http://127.0.0.1:{port}"
            _let_sandbox_send(services, url)
            return url
    raise ChildEnded(f"the receiver of webhooks found no free port from {port} on.")


def _started(supervisor: Supervisor, port: int) -> bool:
    """Start it. Returns False if another process took the port meanwhile."""
    child = supervisor.start(
        "webhooks",
        (
            *(sys.executable, "-m", "connector_pipeline.cli", "webhooks"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ),
    )
    until = time.monotonic() + _START_PATIENCE
    while time.monotonic() < until:
        if child.process.poll() is not None and free_port(port) != port:
            supervisor.stop(child, patience=_STOP_PATIENCE)
            return False
        supervisor.check()
        if _answers(child, port):
            return True
        time.sleep(0.1)
    raise ChildEnded(f"the receiver of webhooks did not answer within {_START_PATIENCE:.0f} s.")


def _answers(child: Child, port: int) -> bool:
    if not has_port(child, port):
        return False
    try:
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except (URLError, OSError):
        return False


def _let_sandbox_send(services: LocalServices, url: str) -> None:
    if services.sandbox is None:
        return
    from connector_pipeline.sandbox.webhooks.sender import AppWebhooks

    # The receiver takes them below the path of WEBHOOKS_URL.
    path = urlsplit(str(services.settings.webhooks_url or "")).path.rstrip("/")
    base = f"{url}{path}"
    key = os.environ["WEBHOOK_KEYS"].split()[0]
    app = AppWebhooks(
        shopify_url=f"{base}/shopify",
        woo_url=f"{base}/woocommerce/{{domain}}",
        woo_secret=lambda domain: shop_secret(key, f"woocommerce/{domain}"),
    )
    sender = services.sandbox.sender
    sender.loopback = True
    sender.use(app, list(services.sandbox.store))
