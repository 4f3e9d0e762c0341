"""Promises about pages of trouble that answer in a shop's place."""

from connector_pipeline.platforms.http.challenge import PageMark, TroublePages, challenge
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES

CLOUDFLARE = b"<title>Just a moment...</title>"
MAINTENANCE = b"<p>Briefly unavailable for scheduled maintenance. Check back in a minute.</p>"


def test_a_firewalls_page_is_known_to_every_platform() -> None:
    """The remedy asks the merchant to let the connector through, below a path if there is one."""
    found = challenge({}, CLOUDFLARE, TroublePages())
    assert found is not None
    assert found.looks_like == "a challenge page of Cloudflare"
    assert found.remedy.endswith("(its user agent is connector-pipeline).")
    below = challenge({}, CLOUDFLARE, TROUBLE_PAGES)
    assert below is not None
    assert below.remedy.endswith("connector-pipeline, it reads below /wp-json/).")


def test_a_platforms_own_page_is_known_to_that_platform_alone() -> None:
    """An adapter brings the marks of its platform's pages, and they are looked for first."""
    assert challenge({}, MAINTENANCE, TroublePages()) is None
    found = challenge({}, MAINTENANCE + b"captcha", TROUBLE_PAGES)
    assert found is not None
    assert found.looks_like == "WordPress's maintenance page"
    mine = TroublePages(own=(PageMark(b"captcha", "a page of mine", "Wait."),))
    assert challenge({"sg-captcha": "challenge"}, b"CAPTCHA", mine) == challenge(
        {}, b"captcha", mine
    )
