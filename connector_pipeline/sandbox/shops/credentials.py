"""The credentials of a sandbox shop: the Token Service gives them, and the platform checks them."""

import hmac
from hashlib import sha256


class ShopCredentials:
    """Credentials made of the domain and a generation, so that every process has the same ones.

    Revoked: the platform refuses the credentials that the Token Service still gives, as after an
    uninstall. Removed: the Token Service has none, but the platform still accepts the old ones.
    """

    def __init__(self, domain: str):
        self._domain = domain
        self._generation = 1
        self.revoked = False
        self.removed = False
        self.may_write = False
        """Whether the WooCommerce key may write, too. A connector needs one that reads."""
        self._nonces: set[str] = set()

    def rotate(self) -> None:
        """Make new credentials: the old ones stop working, and the Token Service gives the new."""
        self._generation += 1
        self.revoked = self.removed = False

    @property
    def access_token(self) -> str:
        return f"shpat_{self._secret('token')[:32]}"

    @property
    def consumer_key(self) -> str:
        return f"ck_{self._secret('key')[:40]}"

    @property
    def consumer_secret(self) -> str:
        return f"cs_{self._secret('secret')[:40]}"

    def accepts_token(self, token: str) -> bool:
        return not self.revoked and _same(token, self.access_token)

    def accepts_key(self, key: str) -> bool:
        return not self.revoked and _same(key, self.consumer_key)

    def accepts_secret(self, secret: str) -> bool:
        return not self.revoked and _same(secret, self.consumer_secret)

    def spend(self, nonce: str) -> bool:
        """Whether an OAuth nonce is used for the first time."""
        fresh = nonce not in self._nonces
        self._nonces.add(nonce)
        return fresh

    def _secret(self, purpose: str) -> str:
        return sha256(f"{purpose}:{self._domain}:{self._generation}".encode()).hexdigest()


def _same(given: str, ours: str) -> bool:
    return hmac.compare_digest(given.encode(), ours.encode())
