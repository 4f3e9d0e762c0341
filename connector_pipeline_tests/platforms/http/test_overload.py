"""Promises about hosts that are asked too much, and about maintenance that takes seconds."""

import dataclasses

import pytest

from connector_pipeline.model.errors import PlatformUnavailable, RateLimited
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.pacing import PaceSignal, Turn
from connector_pipeline.platforms.http.retrying import HttpPolicy, wait_for_the_end
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES
from connector_pipeline_tests.platforms.http.test_client import (
    HTML,
    PATIENT,
    answer,
    ask,
    loopback,
)

# The case from the field.
LIMIT_REACHED = (
    b"<html><head><title>508 Resource Limit Is Reached</title></head><body>"
    b"<h1>Resource Limit Is Reached</h1>\nThe website is temporarily unable to service your "
    b"request as it exceeded resource limit. Please try again later.</body></html>"
)
OVERLOADS = {
    "CloudLinux": answer(LIMIT_REACHED, "508 Loop Detected", media_type="text/html"),
    "with a time to wait": answer(LIMIT_REACHED, "508 Loop Detected", "Retry-After: 0"),
    "as JSON": answer(b'{"message": "limit"}', "508 Resource Limit Is Reached"),
    "529": answer(HTML, "529 Site is overloaded", media_type="text/html"),
    "503": answer(HTML, "503 Service Unavailable", media_type="text/html"),
}


class Signals:
    """A pacer that gives every turn at once and keeps the signals and the pauses."""

    def __init__(self) -> None:
        self.signals: list[PaceSignal] = []
        self.pauses: list[float] = []

    async def enter(self, path: str) -> Turn:
        """Give a turn at once."""
        return Turn(path, 1, 0.0)

    def leave(self, turn: Turn, signal: PaceSignal) -> None:
        """Keep the signal."""
        self.signals.append(signal)

    def pause(self, seconds: float) -> None:
        """Keep the pause, and do not wait."""
        self.pauses.append(seconds)


@pytest.mark.parametrize("overload", OVERLOADS.values(), ids=OVERLOADS)
async def test_a_limit_of_the_hosts_resources_is_overload(overload: bytes) -> None:
    """All requests wait, fewer go at once, and the page is asked for again."""
    signals = Signals()
    async with (
        loopback(overload, answer(b"[1]")) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=FetchReport(), pacer=signals) as http,
    ):
        received = await http.request("GET", "/products")
    assert received.json == [1]
    assert signals.signals == [PaceSignal.OVERLOADED, PaceSignal.ANSWERED]
    assert len(signals.pauses) == 1


@pytest.mark.parametrize("overload", OVERLOADS.values(), ids=OVERLOADS)
async def test_overload_that_stays_is_unavailability(overload: bytes) -> None:
    """It passes with the next sync, so it is retryable."""
    report = FetchReport()
    async with loopback(overload) as shop:
        with pytest.raises(PlatformUnavailable) as caught:
            await ask(shop.url, report=report)
    assert type(caught.value) is PlatformUnavailable
    assert caught.value.retryable
    assert (report.requests, report.retries) == (3, 2)


async def test_the_next_request_goes_out_before_a_page_is_read() -> None:
    """Reading it takes milliseconds. What that finds of this one is not found at its turn's end.

    An answer that may say something against the pace is judged before.
    """
    report = FetchReport()
    found: list[int] = []

    class Noted(Signals):
        def leave(self, turn: Turn, signal: PaceSignal) -> None:
            super().leave(turn, signal)
            found.append(len(report.warnings))

    noted = Noted()
    printed = (
        b"[1]\n<br />\n<b>Warning</b>:  A in <b>/app/plugins/one/b.php</b> on line <b>7</b><br />"
    )
    async with (
        loopback(answer(printed), answer(HTML, media_type="text/html"), answer(b"[1]")) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=report, pacer=noted) as http,
    ):
        assert (await http.request("GET", "/products")).json == [1]
        assert (await http.request("GET", "/products")).json == [1]
    assert (found[0], len(report.warnings)) == (0, 1)
    assert noted.signals == [PaceSignal.ANSWERED, PaceSignal.UNKNOWN, PaceSignal.ANSWERED]


@pytest.mark.parametrize("status", ["507 Insufficient Storage", "509 Limit", "530 Origin", "599 X"])
async def test_no_status_of_a_servers_trouble_breaks_a_contract(status: str) -> None:
    """Hosting companies have statuses of their own."""
    async with loopback(answer(HTML, status, media_type="text/html"), answer(b"[1]")) as shop:
        assert (await ask(shop.url)).json == [1]


# The case from the field, then what WordPress answers since 5.4: a page of another form, in any
# language, and JSON where the request accepts that.
MAINTENANCE = {
    "the old page": answer(
        b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>Briefly "
        b"unavailable for scheduled maintenance. Check back in a minute.</h1></body></html>",
        "503 Service Unavailable",
        "Retry-After: 600",
        media_type="text/html",
    ),
    "JSON": answer(
        b'{"code":"wp_die","message":"Briefly unavailable for scheduled maintenance. Check back in '
        b'a minute.","data":{"status":503},"additional_errors":[]}',
        "503 Service Unavailable",
        "Retry-After: 600",
    ),
    "JSON in Swedish": answer(
        b'{"code":"wp_die","message":"Otillg\\u00e4nglig en kort stund p\\u00e5 grund av '
        b'schemalagt underh\\u00e5ll.","data":{"status":503},"additional_errors":[]}',
        "503 Service Unavailable",
        "Retry-After: 600",
    ),
    "a page in German": answer(
        '<html lang="de"><body id="error-page"><div class="wp-die-message">Wegen Wartungsarbeiten '
        "ist diese Website kurzzeitig nicht verfügbar.</div></body></html>".encode(),
        "503 Service Unavailable",
        "Retry-After: 600",
        media_type="text/html",
    ),
    "JSON with spaces": answer(
        b'{"code": "wp_die", "message": "Brevemente no disponible.", "data": {"status": 503}}',
        "503 Service Unavailable",
        "Retry-After: 600",
    ),
    "the old page in German": answer(
        "<!DOCTYPE html><html><head><title>Wartung</title></head><body><h1>Wegen Wartungsarbeiten "
        "ist diese Website kurzzeitig nicht verfügbar.</h1></body></html>".encode(),
        "503 Service Unavailable",
        "Retry-After: 600",
        media_type="text/html",
    ),
    "cached as 200": answer(
        b"<h1>Briefly unavailable for scheduled maintenance. Check back shortly.</h1>",
        media_type="text/html",
    ),
}
ONCE = dataclasses.replace(PATIENT, max_retries=1)


@pytest.mark.parametrize("page", MAINTENANCE.values(), ids=MAINTENANCE)
async def test_wordpress_maintenance_is_waited_out(page: bytes) -> None:
    """It takes seconds, whatever its Retry-After says, and the host is not overloaded."""
    signals, report = Signals(), FetchReport()
    async with (
        loopback(page, page, page, answer(b"[1]")) as shop,
        OriginHttp(
            shop.url, policy=ONCE, report=report, pacer=signals, trouble_pages=TROUBLE_PAGES
        ) as http,
    ):
        received = await http.request("GET", "/products", accept_retried=frozenset({503}))
    assert received.json == [1]
    assert report.retries == 3
    assert PaceSignal.OVERLOADED not in signals.signals
    assert signals.pauses == [0.002, 0.004, 0.008]


@pytest.mark.parametrize("page", MAINTENANCE.values(), ids=MAINTENANCE)
async def test_maintenance_that_stays_is_named(page: bytes) -> None:
    """It is no rate limit, and nobody else uses it up."""
    async with (
        loopback(page) as shop,
        OriginHttp(
            shop.url, policy=ONCE, report=FetchReport(), trouble_pages=TROUBLE_PAGES
        ) as http,
    ):
        with pytest.raises(PlatformUnavailable) as caught:
            await http.request("GET", "/products", accept_in_the_end=frozenset({503}))
    assert type(caught.value) is PlatformUnavailable
    assert "WordPress's maintenance page" in caught.value.message
    assert "limit" not in str(caught.value)
    # A port may have the digits.
    assert "600" not in str(caught.value).replace(shop.url, "")


def test_maintenance_is_waited_for_half_a_minute_to_one() -> None:
    """At the usual delay, and not at all where nothing is retried."""
    waits: list[float] = []
    while (wait := wait_for_the_end(HttpPolicy(), len(waits))) is not None:
        waits.append(wait)
    assert 30 <= sum(waits) <= 60
    assert wait_for_the_end(HttpPolicy(max_retries=0), 0) is None


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (answer(HTML, "503 Service Unavailable", "Retry-After: 600"), PlatformUnavailable),
        (answer(b"{}", "503 Service Unavailable", "Retry-After: 86400"), PlatformUnavailable),
        (answer(LIMIT_REACHED, "508 Loop Detected", "Retry-After: 3600"), PlatformUnavailable),
        (answer(b"{}", "429 Too Many Requests", "Retry-After: 3600"), RateLimited),
    ],
)
async def test_a_long_wait_is_called_a_limit_only_for_a_429(
    trouble: bytes, error: type[PlatformUnavailable]
) -> None:
    """A host in trouble says how long it will be, and no other app is to blame."""
    report = FetchReport()
    async with (
        loopback(trouble) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=report, trouble_pages=TROUBLE_PAGES) as http,
    ):
        with pytest.raises(error) as caught:
            await http.request("GET", "/products")
    assert type(caught.value) is error
    assert "more than the 120 s one sync waits" in str(caught.value)
    assert ("another app" in str(caught.value)) == (error is RateLimited)
    assert report.requests == 1
