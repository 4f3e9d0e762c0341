"""Promises about pages of trouble that answer in a shop's place."""

from connector_pipeline.platforms.http.challenge import PageMark, TroublePages, challenge
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES

CLOUDFLARE = b"<title>Just a moment...</title>"
MAINTENANCE = b"<p>Briefly unavailable for scheduled maintenance. Check back in a minute.</p>"


def test_a_firewalls_page_is_known_to_every_platform() -> None:
    """The remedy asks the merchant to let the connector through, below a path if there is one."""
    found = challenge(200, {}, CLOUDFLARE, TroublePages())
    assert found is not None
    assert found.looks_like == "a challenge page of Cloudflare"
    assert found.remedy.endswith("(its user agent is connector-pipeline).")
    below = challenge(200, {}, CLOUDFLARE, TROUBLE_PAGES)
    assert below is not None
    assert below.remedy.endswith("connector-pipeline, it reads below /wp-json/).")


def test_a_platforms_own_page_is_known_to_that_platform_alone() -> None:
    """An adapter brings the marks of its platform's pages, and they are looked for first."""
    assert challenge(200, {}, MAINTENANCE, TroublePages()) is None
    found = challenge(200, {}, MAINTENANCE + b"captcha", TROUBLE_PAGES)
    assert found is not None
    assert found.looks_like == "WordPress's maintenance page"
    mine = TroublePages(own=(PageMark(b"captcha", "a page of mine", "Wait."),))
    assert challenge(403, {"sg-captcha": "challenge"}, b"CAPTCHA", mine) == challenge(
        200, {}, b"captcha", mine
    )


def test_a_limit_of_ten_minutes_is_no_maintenance() -> None:
    """WordPress's maintenance is a 503; another status with the same wait means what it says."""
    page, stated = b"<html><h1>Wait a while</h1></html>", {"Retry-After": "600"}
    assert challenge(429, stated, page, TROUBLE_PAGES) is None
    found = challenge(503, stated, page, TROUBLE_PAGES)
    assert found is not None
    assert found.soon_over
