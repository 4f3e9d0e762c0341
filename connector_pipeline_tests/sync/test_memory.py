"""A run's memory is bounded whatever one shop sends, and the good shops beside it are published."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connector_pipeline.sandbox.shops.spec import Platform, ShopSpec
from connector_pipeline_tests.assets.conftest import Pipeline

MOST_MEGABYTES: Final = 400

MIB: Final = 1024 * 1024
GOOD: Final = (
    ShopSpec("shopify", "good-1.myshopify.com", "m-1", "1", products=300, seed=1),
    ShopSpec("shopify", "good-2.myshopify.com", "m-1", "2", products=20, seed=2),
    ShopSpec("woocommerce", "good-3.example", "m-1", "3", products=300, seed=3),
)

AT_ONCE: Final = 3
"""So many hostile shops of a run: more than the one that is promised, because runs take time."""

Rule = Mapping[str, Any]


def bomb(*encodings: str, size: int = 256 * MIB) -> Rule:
    """An answer that is small on the wire."""
    return {"kind": "bomb", "encodings": list(encodings), "size": size}


def body(text: str, **more: Any) -> Rule:
    """An answer with this text."""
    return {"kind": "body", "body": text, **more}


def edit(path: Sequence[str], value: str) -> Rule:
    """The shop's own answers with this text in these places."""
    return {"kind": "edit", "edits": [{"path": list(path), "value": value}]}


TITLES: Final = ("data", "products", "nodes", "*", "title")


def page_of(objects: str, number: int = 100) -> Rule:
    """Pages of a list of 3,000 objects, each with these members, after the first pages."""
    rows = ",".join(f'{{"id":{own_id},{objects}}}' for own_id in range(1, number + 1))
    headers = {"X-WP-Total": "3000", "X-WP-TotalPages": str(-(-3000 // number))}
    return body(f"[{rows}]", headers=headers, skip=3)


NOT_READ: Final[dict[str, tuple[Rule, str]]] = {
    "gzip": (bomb("gzip"), "more than 2,097,152 bytes"),
    "zstd-in-zstd": (bomb("zstd", "zstd", size=1024 * MIB), "compressed 2 times"),
    "zstd": (bomb("zstd"), "compressed by 'zstd'"),
    "deflate": (bomb("deflate"), "compressed by 'deflate'"),
    "gzip-in-gzip": (bomb("gzip", "gzip"), "compressed 2 times"),
    "plain": ({"kind": "large", "size": 100 * MIB}, "more than 2,097,152 bytes"),
    "lists": (body("[" + "[]," * 600_000 + "0]"), "bytes of memory"),
    "many-lists": (body("[" + "[]," * 20 * MIB + "0]"), "more than 2,097,152 bytes"),
    "numbers": (body("[" + "1.5," * 400_000 + "0]"), "bytes of memory"),
    "keys": (body("{" + ",".join(f'"{n}":{{}}' for n in range(120_000)) + "}"), "of memory"),
    "deep": (body('{"a":' * 200_000 + "1" + "}" * 200_000), "bytes of memory"),
    "deep-lists": (body("[" * 20_000 + "]" * 20_000), "nested more than 100 deep"),
    "nan": (body('[{"id": 1, "price": NaN}]'), "NaN is not JSON"),
    "digits": (body('[{"id": ' + "9" * 100_000 + "}]"), "X-WP-Total"),
    "text": (body('["' + "a" * 1_900_000 + '\U0001f600"]'), ""),
    "escapes": (body('["' + r"\ud83d\ude00" * 150_000 + '"]'), ""),
    "wide-pages": (page_of('"name":"' + "a" * 18_000 + '\U0001f600"'), ""),
    "pages-of-numbers": (page_of('"x":[' + "1.5," * 1000 + "1]"), ""),
    "pages-of-objects": (page_of('"x":[' + '{"%d":0},' * 250 % tuple(range(250)) + "1]"), ""),
}
"""By kind of answer the rule that sends it, and words of the error with which the shop fails."""

OF_SHOPIFY: Final[dict[str, tuple[str, Rule, str]]] = {
    "s-gzip": ("shopify", bomb("gzip"), "more than 4,194,304 bytes"),
    "s-zstd": ("shopify", bomb("zstd", "zstd"), "compressed 2 times"),
    "s-lists": ("shopify", body("[" + "[]," * 600_000 + "0]"), "bytes of memory"),
    "s-line": ("storage", bomb("gzip"), "a line of over 1048576 bytes"),
    "s-lines": ("storage", body(('[{"id":' + "[]," * 300_000 + "0}]\n") * 8), None),
    "s-wide": ("shopify", edit(TITLES, "\U0001f600" + "a" * 14_000), None),
    "s-plain": ("storage", {"kind": "large", "size": 100 * MIB}, "a line of over 1048576 bytes"),
}
"""The same of Shopify, with the host whose answers it replaces. Some can be read nevertheless."""


def hostile(name: str, platform: Platform) -> ShopSpec:
    """A shop that is honest but for its rule, with more products than fit on a few pages."""
    domain = f"{name}.myshopify.com" if platform == "shopify" else f"{name}.example"
    # "s-wide" is below the threshold of bulk operations.
    products = 400 if name == "s-wide" else 600
    return ShopSpec(
        platform, domain, "m-2", name, products=products, variants=(1, 1), awkward=False
    )


def peaks_of(runs: Sequence[Sequence[str]]) -> list[float]:
    """The peaks of a process that makes these runs."""
    done = subprocess.run(
        [sys.executable, "-m", "connector_pipeline_tests.sync.measured_runs"],
        input=json.dumps(runs),
        env={**os.environ, "SHOPIFY_BULK_THRESHOLD": "500"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_no_shop_takes_the_memory_of_a_run(pipeline: Pipeline) -> None:
    """Each hostile shop fails with its own error, beside good shops that are published.

    Every run has the same good shops and three hostile shops, in one process, whose memory never
    passes 400 MB.
    """
    rules: list[Rule] = []
    expected: dict[str, str | None] = {}
    for name, (rule, words) in NOT_READ.items():
        spec = hostile(name, "woocommerce")
        rules.append({**rule, "match": {"domain": spec.domain, "path_contains": "/products"}})
        expected[f"woocommerce/{spec.domain}"] = words
        pipeline.sandbox.store.put(spec)
    for name, (host, rule, words) in OF_SHOPIFY.items():
        spec = hostile(name, "shopify")
        rules.append({**rule, "match": {"domain": spec.domain, "platform": host}})
        expected[f"shopify/{spec.domain}"] = words
        pipeline.sandbox.store.put(spec)
    for spec in GOOD:
        pipeline.sandbox.store.put(spec)
    good = [f"{spec.platform}/{spec.domain}" for spec in GOOD]
    pipeline.register(*good, *expected)
    pipeline.sandbox.faults.set(rules)

    bad = list(expected)
    runs = [[*good, *bad[start : start + AT_ONCE]] for start in range(0, len(bad), AT_ONCE)]
    peaks = peaks_of(runs)

    with pipeline.database.connect() as connection:
        failed = dict(
            connection.execute(
                "SELECT domain, error_code || ': ' || error_message FROM connector.syncs"
                " WHERE status = 'failed'"
            ).fetchall()
        )
        succeeded = connection.execute(
            "SELECT count(*) FROM connector.syncs WHERE status = 'succeeded'"
        ).fetchone()
    for key, words in expected.items():
        error = failed.pop(key.partition("/")[2], None)
        if words is None:
            assert error is None
            continue
        assert error is not None
        assert error.startswith("InvalidResponse")
        assert words in error
    assert failed == {}
    readable = sum(words is None for words in expected.values())
    assert succeeded == (len(good) * len(runs) + readable,)
    for key in good:
        assert len(pipeline.rows(key)) == len(pipeline.served(key))
    assert max(peaks) < MOST_MEGABYTES, peaks
