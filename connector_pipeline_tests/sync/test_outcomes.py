"""The summary of a run's failed shops, for the person on call."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import ConnectorError, PlatformUnavailable, ShopDisconnected
from connector_pipeline.sync.outcomes import Outcomes, summarize

KEYS = [f"shopify/shop-{number}.myshopify.com" for number in range(6)]


@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.sampled_from([PlatformUnavailable, ShopDisconnected]),
        min_size=1,
    )
)
def test_the_summary_names_every_failed_shop_under_its_remedy(
    failed: dict[str, type[ConnectorError]],
) -> None:
    """It begins with a shop. Each kind of error has its remedy once, and every shop its cause."""
    errors = {key: kind(f"of {key}.").of(key) for key, kind in failed.items()}
    text = summarize(errors, of=len(KEYS))
    assert text.startswith(tuple(errors))
    assert text.splitlines()[-1].startswith(f"{len(errors)} of {len(KEYS)} shops failed; ")
    assert all(text.count(f"{key}: of {key}.") == 1 for key in errors)
    for kind in set(failed.values()):
        assert text.count(f"\n{kind.__name__}: {kind.default_remedy}\n") == 1


def test_a_thousand_failures_can_be_read() -> None:
    """The kind with most shops comes first.

    A hundred shops of a kind are named, the rest counted.
    """
    failed: dict[str, ConnectorError] = {
        f"shopify/shop-{number}.myshopify.com": PlatformUnavailable("it is down. " * 100)
        for number in range(900)
    }
    for number in range(100):
        key = f"woocommerce/shop-{number}.example"
        failed[key] = ShopDisconnected("no.", look_at=f"Ask the merchant of {key}.")
    text = summarize(failed, of=1000)
    lines = text.splitlines()
    assert lines[0].startswith("shopify/shop-0.myshopify.com, ")
    assert lines[0].endswith(" and 897 more")
    assert lines[1].startswith("PlatformUnavailable: ")
    assert lines[102] == "  and 800 more: see `failed_shops`."
    assert lines[-2] == "And 91 more with other troubles: see `failed_shops`."
    assert lines[-1] == "1000 of 1000 shops failed; no other was to be done."
    assert len(text) < 50_000


@pytest.mark.parametrize("kind", [PlatformUnavailable, ShopDisconnected])
def test_a_shop_that_is_tried_again_asks_nothing_of_anybody(
    caplog: pytest.LogCaptureFixture, kind: type[ConnectorError]
) -> None:
    """A refusal that passes within seconds must not send an operator to the merchant."""
    log = logging.getLogger("connector_pipeline")
    Outcomes[int](log).postpone(KEYS[0], kind("the answer was 401."))
    [said] = caplog.messages
    assert said == (
        f"{KEYS[0]}: the answer was 401. This run tries it once more, after the other shops."
    )


def test_a_single_shops_failure_begins_with_the_shop() -> None:
    """Then comes the cause, and on the next line the error's name and what to do."""
    error = ShopDisconnected("the token was revoked.").of(KEYS[0])
    explained = (
        f"{KEYS[0]}: the token was revoked.\nShopDisconnected: {ShopDisconnected.default_remedy}"
    )
    assert summarize({KEYS[0]: error}, of=1) == explained
    assert summarize({KEYS[0]: error}, of=6) == (
        f"{explained}\n1 of 6 shops failed; the others are done."
    )
