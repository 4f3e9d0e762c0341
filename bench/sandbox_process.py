"""A sandbox in a process of its own, so that its work is in no measured process."""

import csv
import multiprocessing
import signal
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec

LONGEST: Final = 12 * 3600
"""Seconds after which the process ends by itself, whatever became of its parent."""


def shopify_shops(
    prefix: str, count: int, *, products: int = 10, variants: int = 2, merchants: int = 97
) -> list[ShopSpec]:
    """`count` Shopify shops of so many products, each of so many variants."""
    return [
        ShopSpec(
            platform="shopify",
            domain=f"{prefix}-{number}.myshopify.com",
            merchant_id=f"merchant-{number % merchants}",
            platform_shop_id=f"{prefix}-{number}",
            products=products,
            variants=(variants, variants),
            seed=number + 1,
            awkward=False,
        )
        for number in range(count)
    ]


def write_csv(path: Path, specs: Iterable[ShopSpec]) -> Path:
    """Write the shops as `connector-pipeline shops import` reads them."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["merchant_id", "platform_name", "platform_shop_id", "domain"])
        rows.writerows(
            [spec.merchant_id, spec.platform, spec.platform_shop_id, spec.domain] for spec in specs
        )
    return path


def _serve(specs: Sequence[ShopSpec], latency: float, ready: Any) -> None:
    # Ctrl-C reaches the whole terminal: the sandbox ends when the bench has stopped its syncs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with SandboxServer(specs) as server:
        server.faults.set([FaultRule("latency", seconds=latency)] if latency else [])
        ready.send(server.environment())
        until = time.monotonic() + LONGEST
        while time.monotonic() < until and not ready.poll(1):
            continue


@contextmanager
def sandbox(specs: Sequence[ShopSpec], *, latency: float) -> Generator[dict[str, str]]:
    """Serve these shops, each answer after `latency` seconds. Yields the settings that lead there.

    The process ends with the context, and when its parent is gone.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=[specs, latency, theirs], daemon=True
    )
    process.start()
    # Closed here, so that the server's end reports the end of this process.
    theirs.close()
    try:
        if not ours.poll(120):
            raise RuntimeError("the sandbox did not start within 120 s")
        yield ours.recv()
    finally:
        process.kill()
        process.join()
