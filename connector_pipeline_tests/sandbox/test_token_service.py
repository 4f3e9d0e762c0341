"""The Token Service as docs/contracts.md has it, and callers that may not ask."""

from datetime import UTC, datetime, timedelta

import httpx
import jwt

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.sandbox.conftest import SHOPIFY, SMALL_SHOPS, WOO, SandboxClient

CORRELATED = {"X-Correlation-ID": "test"}
SECRET = "a secret of the tests, long enough for HS256"


def test_each_platform_has_its_own_credentials(client: SandboxClient) -> None:
    """An access token for Shopify, a key and a secret for WooCommerce."""
    assert list(client.credentials("shopify", SHOPIFY)) == ["access_token"]
    assert list(client.credentials("woocommerce", WOO)) == ["consumer_key", "consumer_secret"]


def test_a_shop_without_credentials_is_a_404(client: SandboxClient) -> None:
    """Unknown and removed alike."""
    path = "/token-service/api/v1/tokens/shopify/"
    assert client.http.get(f"{path}nobody", headers=CORRELATED).status_code == 404
    client.control("PUT", f"shops/shopify/{SHOPIFY}/credentials", {"remove": True})
    assert client.http.get(f"{path}{SHOPIFY}", headers=CORRELATED).status_code == 404


def test_a_request_without_correlation_id_is_refused(client: SandboxClient) -> None:
    """The contract says always."""
    answer = client.http.get(f"/token-service/api/v1/tokens/shopify/{SHOPIFY}")
    assert answer.status_code == 400


def bearer(secret: str = SECRET, **claims: object) -> str:
    return f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"


def test_with_a_secret_only_a_valid_jwt_may_ask() -> None:
    """HS256, sub platform-connector, not expired, and with an expiry."""
    ours = "platform-connector"
    soon = datetime.now(UTC) + timedelta(seconds=60)
    past = datetime.now(UTC) - timedelta(seconds=1)
    path = f"/token-service/api/v1/tokens/shopify/{SHOPIFY}"
    refused = (
        "Bearer mist",
        bearer(SECRET + "!", sub=ours, exp=soon),
        bearer(sub="somebody", exp=soon),
        bearer(sub=ours, exp=past),
        bearer(sub=ours),
    )
    with (
        SandboxServer(SMALL_SHOPS, jwt_secret=SECRET) as server,
        httpx.Client(base_url=server.url, headers=CORRELATED) as client,
    ):
        assert client.get(path).status_code == 401
        for authorization in refused:
            answer = client.get(path, headers={"Authorization": authorization})
            assert answer.status_code == 401, authorization
        valid = {"Authorization": bearer(sub=ours, exp=soon)}
        assert client.get(path, headers=valid).status_code == 200


def test_rotated_credentials_replace_the_old_ones(client: SandboxClient) -> None:
    """The old stop working at once; the Token Service hands out the new."""
    old = client.credentials("woocommerce", WOO)
    client.control("PUT", f"shops/woocommerce/{WOO}/credentials", {"rotate": True})
    path = f"/woocommerce/{WOO}/wp-json/wc/v3/products"
    assert client.http.get(path, params=old).status_code == 401
    assert client.woo("wc/v3/products").status_code == 200


def test_revoked_credentials_are_still_handed_out(client: SandboxClient) -> None:
    """As after an uninstall: the platform refuses what the Token Service believes in."""
    client.control("PUT", f"shops/shopify/{SHOPIFY}/credentials", {"revoke": True})
    assert client.graphql("{ shop { id } }").status_code == 401
    client.control("PUT", f"shops/shopify/{SHOPIFY}/credentials", {"revoke": False})
    assert client.graphql("{ shop { id } }").status_code == 200
