"""The sandbox's Token Service answers as docs/contracts.md says, and refuses strangers."""

from datetime import UTC, datetime, timedelta

import httpx
import jwt

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.sandbox.conftest import SHOPIFY, SMALL_SHOPS, WOO, SandboxClient

CORRELATED = {"X-Correlation-ID": "test"}
SECRET = "a secret of the tests, long enough for HS256"


def test_each_platform_has_its_own_credentials(client: SandboxClient) -> None:
    """Shopify's are an access token, WooCommerce's a key and a secret."""
    assert list(client.credentials("shopify", SHOPIFY)) == ["access_token"]
    assert list(client.credentials("woocommerce", WOO)) == ["consumer_key", "consumer_secret"]


def test_a_shop_without_credentials_is_a_404(client: SandboxClient) -> None:
    """An unknown shop and one whose credentials were removed have the same answer."""
    path = "/token-service/api/v1/tokens/shopify/"
    assert client.http.get(f"{path}nobody", headers=CORRELATED).status_code == 404
    client.control("PUT", f"shops/shopify/{SHOPIFY}/credentials", {"remove": True})
    assert client.http.get(f"{path}{SHOPIFY}", headers=CORRELATED).status_code == 404


def test_a_request_without_correlation_id_is_refused(client: SandboxClient) -> None:
    """The contract says that every request has one."""
    answer = client.http.get(f"/token-service/api/v1/tokens/shopify/{SHOPIFY}")
    assert answer.status_code == 400


def bearer(secret: str = SECRET, **claims: object) -> str:
    return f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"


def test_with_a_secret_only_a_valid_jwt_may_ask() -> None:
    """It is HS256, has the sub platform-connector and an expiry, and has not expired."""
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
    """The old ones stop working at once; the Token Service gives the new ones."""
    old = client.credentials("woocommerce", WOO)
    client.control("PUT", f"shops/woocommerce/{WOO}/credentials", {"rotate": True})
    path = f"/woocommerce/{WOO}/wp-json/wc/v3/products"
    assert client.http.get(path, params=old).status_code == 401
    assert client.woo("wc/v3/products").status_code == 200


def test_revoked_credentials_are_still_handed_out(client: SandboxClient) -> None:
    """After an uninstall the platform refuses credentials that the Token Service still gives."""
    client.control("PUT", f"shops/shopify/{SHOPIFY}/credentials", {"revoke": True})
    assert client.graphql("{ shop { id } }").status_code == 401
    client.control("PUT", f"shops/shopify/{SHOPIFY}/credentials", {"revoke": False})
    assert client.graphql("{ shop { id } }").status_code == 200
