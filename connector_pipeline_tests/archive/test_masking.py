"""A page that quotes the shop's credentials is archived without them."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from connector_pipeline.archive.masking import Mask
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.model.url_secrets import with_logins
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage

KEY, SECRET = f"ck_{'0a1b2c3d' * 5}", f"cs_{'4e5f6a7b' * 5}"
LOGIN = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    "quoted",
    [
        KEY,
        SECRET,
        LOGIN,
        f"?consumer_key={KEY}&consumer_secret={quote(SECRET)}",
        SECRET[3:30],
    ],
)
def test_a_body_keeps_its_length_and_stays_json(quoted: str) -> None:
    """The rest of it is as it came."""
    body = json.dumps({"title": f"before {quoted} after", "ü": "\ud800"}).encode()
    found = Mask(with_logins([KEY, SECRET])).masked(body)
    assert len(found) == len(body)
    assert json.loads(found).keys() == {"title", "ü"}
    assert json.loads(found)["title"].startswith("before ")
    assert json.loads(found)["title"].endswith(" after")
    for secret in (KEY, SECRET, LOGIN):
        for start in range(len(secret) - 11):
            assert secret[start : start + 12].lower().encode() not in found.lower()


def test_a_body_without_credentials_is_the_same_object() -> None:
    """It costs a few searches for bytes, and no copy."""
    body = json.dumps([{"id": number} for number in range(1_000)]).encode()
    assert Mask([KEY]).masked(body) is body
    assert Mask(["short"]).masked(b"short") == b"short"


def test_pages_are_masked_with_the_credentials_of_the_moment(tmp_path: Path) -> None:
    """Credentials are renewed during a long sync."""
    given = [KEY]
    sync = Sync(
        sync_id="s",
        partition_key="woocommerce/shop.example",
        sync_type=SyncType.FULL,
        correlation_id="c",
        started_at=datetime.now(UTC),
    )
    archive = RawArchive(url=str(tmp_path))
    writer = archive.write(sync, secrets=lambda: given)
    writer.begin()
    writer.write(RawPage("products", f'["{KEY}", "{SECRET}"]'.encode()))
    given[:] = [SECRET]
    writer.write(RawPage("products", f'["{KEY}", "{SECRET}"]'.encode()))
    first, second = (page.body.decode() for page in writer.written())
    assert (KEY in first, SECRET in first) == (False, True)
    assert (KEY in second, SECRET in second) == (True, False)
    # A resumed sync yields the pages as they are archived.
    again = archive.write(sync, secrets=lambda: given)
    assert [page.body.decode() for page in again.resume()] == [first, second]
    report = FetchReport(currency="SEK", complete=True)
    report.warnings.append("odd \ud800 \x1b[0m")
    report.details["said"] = {"\ud800": ["\x9b", 1, None]}
    manifest = writer.finish(report)
    assert manifest.warnings == ("odd \\ud800 \\x1b[0m",)
    assert manifest.details == {"said": {"\\ud800": ["\\x9b", 1, None]}}
