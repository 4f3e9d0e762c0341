"""Whatever a platform writes, the UI shows the run, and shows it as text."""

import json
import unicodedata
from itertools import cycle
from typing import Any

import pytest
from markdown_it import MarkdownIt

from connector_pipeline.model.storable import clipped
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, Pipeline
from connector_pipeline_tests.assets.test_pipeline import SHOPIFY, WOOCOMMERCE
from connector_pipeline_tests.assets.ui import events_of

HOSTILE = {
    "half a pair": "\ud800 and \udfff",
    "colours and a title": "\x1b[31mred\x1b]0;pwned\x07",
    "C1": "\x9b31m \x90q\x9c",
    "turned around": "\u202egnp.exe\u2066",
    "without a shape": "a\u200bb\u3164c\U000e0041",
    "NUL and breaks": "a\x00b\r\n2026-01-01 ERROR forged\u2028line",
}


def is_plain(text: str) -> bool:
    """Whether a text has line breaks and what shows, and nothing else."""
    return all(
        each in "\n\t" or (each.isprintable() and unicodedata.category(each) != "Cf")
        for each in text
    )


def texts_in(value: Any) -> list[str]:
    """All texts in parsed JSON."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.items() for text in texts_in(list(each))]
    return [text for each in value for text in texts_in(each)] if isinstance(value, list) else []


def test_the_ui_shows_a_run_whose_shop_sends_such_an_error(stored: Pipeline) -> None:
    """Half a surrogate pair in one message made the log of the whole run answer 500."""
    stored.register(SHOPIFY)
    text = "".join(HOSTILE.values())
    denied = {"message": text, "extensions": {"code": "ACCESS_DENIED"}}
    for body in (
        {"errors": [{"message": f"No {text}"}]},
        {"errors": [denied]},
        {"errors": text},
        {"errors": {text: text}},
        {"data": {}, "extensions": {"search": [{"warnings": [{"message": text}]}]}},
    ):
        fault = {"kind": "body", "body": json.dumps(body), "match": {"platform": "shopify"}}
        stored.sandbox.faults.set([fault])
        result = stored.materialize(SHOPIFY)
        assert not result.success
        events = events_of(stored.instance, result.run_id)
        assert any(each["__typename"] == "ExecutionStepFailureEvent" for each in events)
        assert [each for each in texts_in(events) if not is_plain(each)] == []
        assert r"\ud800 and \udfff" in stored.failure(result)


@pytest.mark.parametrize("key", [SHOPIFY, WOOCOMMERCE])
def test_a_title_is_text_in_the_preview(stored: Pipeline, key: str) -> None:
    """No link, image or markup is made of it, and no cell ends in it."""
    titles = (
        "https://evil.example/a www.evil.example me@evil.example",
        "[a](javascript:alert(1)) ![x](http://evil.example/x.png) <img src=x onerror=alert(1)>",
        "a | b\n| --- |\n`code` **bold** \x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
        "\u202eltr \u200b \x9b1m",
    )
    stored.register(key)
    platform, domain = key.split("/")
    shop = stored.sandbox.store.shop(platform, domain)
    for product_id, title in zip(shop.product_ids(), cycle(titles), strict=False):
        shop.edit_product(product_id, {"title" if key == SHOPIFY else "name": title}, at=None)
    result = stored.materialize(key)
    assert result.success, stored.failure(result)
    [event] = [
        each
        for each in events_of(stored.instance, result.run_id)
        if each["__typename"] == "MaterializationEvent" and each["label"] == CATALOG_ITEMS
    ]
    [preview] = [each for each in event["metadataEntries"] if each["label"] == "preview"]
    assert preview["__typename"] == "TableMetadataEntry"
    # The places at which a long word may be broken are ours.
    cells = [
        json.loads(each)["title"].replace("\u200b", "") for each in preview["table"]["records"]
    ]
    shown = [each.split(" · ")[0].removesuffix("…") for each in cells]
    whole = [clipped(" ".join(each.split()), most_bytes=100) for each in titles]
    assert all(any(title.startswith(each) for title in whole) for each in shown)
    assert "https://evil.example/a www.evil.example me@evil.example" in shown
    assert all(is_plain(each) and "\n" not in each for each in shown)
    report = "\n\n".join(
        each["mdStr"]
        for each in event["metadataEntries"]
        if each["__typename"] == "MarkdownMetadataEntry"
    )
    # The platform's own word and the chart are Markdown, and no title is.
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    # It would leave `javascript:` and a picture's `data:` as text.
    parser.validateLink = lambda url: True
    tokens = [token for block in parser.parse(report) for token in (block, *(block.children or ()))]
    assert {each.type for each in tokens if "link" in each.type or "html" in each.type} == set()
    assert [each.attrGet("src")[:26] for each in tokens if each.type == "image"] == [
        "data:image/svg+xml;base64,"
    ]
    texts = " ".join(each.content for each in tokens if each.type == "text")
    assert not any(word in texts for word in ("evil.example", "javascript", "onerror", "bold"))
    quoted = " ".join(each.content for each in tokens if each.type == "code_inline")
    assert "https://evil.example/a www.evil.example me@evil.example" in quoted
    assert "<img src=x" in quoted or "**bold**" in quoted


def test_a_header_of_the_platform_is_text(stored: Pipeline) -> None:
    """The media type of a page that is no JSON, and the version that answered."""
    stored.register(WOOCOMMERCE)
    headers = {"Content-Type": "text/\x9b31m\u00ad" + "x" * 5_000}
    fault = {"kind": "html", "status": 200, "headers": headers}
    stored.sandbox.faults.set([fault | {"match": {"platform": "woocommerce"}}])
    result = stored.materialize(WOOCOMMERCE)
    assert not result.success
    events = events_of(stored.instance, result.run_id)
    assert [each for each in texts_in(events) if not is_plain(each)] == []
    assert "x" * 50 not in stored.failure(result)
