"""From a request or a webhook to readable rows, on a `dev` with nothing else to do."""

import random
import statistics
import time
from collections.abc import Sequence
from typing import Final

import httpx
from checkouts import Side
from hints import KEY, WATCH, Catalog, follow, send_to
from hints import shops as hint_shops
from one_request import LOOP, QUIET, one_request
from sandbox_process import shopify_shops
from table_report import Report

from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.webhooks.sender import SHOPIFY_SECRET

SETTINGS: Final = {
    "WEBHOOKS_URL": "http://127.0.0.1",
    "WEBHOOK_KEYS": KEY,
    "SHOPIFY_WEBHOOK_SECRETS": SHOPIFY_SECRET,
}
PATIENCE: Final = 120.0


def requested_shops(times: int) -> list[ShopSpec]:
    """A shop for each request, and one more for the first, which is not counted."""
    return shopify_shops("alone", times + 1)


def hinted_shops(count: int) -> list[ShopSpec]:
    """Shops of both platforms whose prices change."""
    return hint_shops(count, "hints")


def measure_latency(
    side: Side,
    requested: Sequence[ShopSpec],
    hinted: Sequence[ShopSpec],
    report: Report,
    *,
    changes: int,
) -> None:
    """Add medians and maxima of the seconds from a sync request, and from a price change."""
    origin = side.sandbox_environment["TOKEN_SERVICE_URL"].removesuffix("/token-service")
    side.cli("backfill", "--merchant-id", hinted[0].merchant_id)
    with (
        side.dev(**SETTINGS) as dev,
        side.connect() as watching,
        httpx.Client(base_url=origin, trust_env=False, timeout=60) as control,
    ):
        taken: list[float] = []
        for number, spec in enumerate(requested):
            time.sleep(QUIET + random.uniform(0, LOOP))
            dev.check()
            moments = one_request(side, spec, f"alone-{number}")
            if number:
                taken.append(moments["rows readable"])
        _figures(report, "sync request to readable rows", taken)
        side.cli("backfill")
        watching.execute(WATCH)
        send_to(control, dev.webhooks_url, hinted)
        plan = {"count": changes, "per_second": 1.0, "shops": len(hinted)}
        control.post("/sandbox/price-edits", json=plan).raise_for_status()
        edits = follow(Catalog(watching), control, PATIENCE)
        if not {edit.domain for edit in edits} <= {spec.domain for spec in hinted}:
            raise RuntimeError("the sandbox changed prices in shops that send no webhooks")
        arrived = [edit.readable - edit.at for edit in edits if edit.readable is not None]
        _figures(report, "price change by webhook to readable rows", arrived)
        report.figure("price changes that did not arrive", len(edits) - len(arrived))


def _figures(report: Report, name: str, taken: Sequence[float]) -> None:
    if taken:
        report.figure(f"{name}, median s of {len(taken)}", statistics.median(taken))
        report.figure(f"{name}, maximum s of {len(taken)}", max(taken))
