"""The shops of a sandbox."""

from collections.abc import Iterable, Iterator

from connector_pipeline.sandbox.shops.contents import NoSuchRecord
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.webhooks.happening import Listener


class Store:
    """All shops of one sandbox, by platform and domain."""

    def __init__(self, specs: Iterable[ShopSpec] = (), listener: Listener | None = None):
        self._listener = listener
        self._shops: dict[tuple[str, str], SandboxShop] = {}
        for spec in specs:
            self.put(spec)

    def put(self, spec: ShopSpec) -> SandboxShop:
        """Create the shop, or replace it by a new one without edits."""
        shop = SandboxShop(spec)
        if self._listener is not None:
            shop.listen(self._listener)
        self._shops[spec.platform, spec.domain] = shop
        return shop

    def get(self, platform: str, domain: str) -> SandboxShop | None:
        return self._shops.get((platform, domain))

    def shop(self, platform: str, domain: str) -> SandboxShop:
        """The shop. Raises NoSuchRecord."""
        shop = self.get(platform, domain)
        if shop is None:
            raise NoSuchRecord(f"no shop {platform}/{domain} in this sandbox")
        return shop

    def remove(self, platform: str, domain: str) -> None:
        """Remove the shop. Raises NoSuchRecord."""
        self.shop(platform, domain)
        del self._shops[platform, domain]

    def __iter__(self) -> Iterator[SandboxShop]:
        return iter(list(self._shops.values()))
