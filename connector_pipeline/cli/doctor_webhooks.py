"""What `connector-pipeline doctor` says of the shops' webhooks."""

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings
from connector_pipeline.state.registry import ShopRegistry


def webhooks_seen(settings: Settings) -> list[Finding]:
    """How the shops' webhooks are, by what was last seen of them; nothing where nobody has any."""
    try:
        shops = ShopRegistry(database=Database()).list(ShopState.ACTIVE)
    except ConnectorError:
        # The database is down, which is among the findings already.
        return []
    subscribed = [shop for shop in shops if shop.subscribed is not None]
    if not subscribed and settings.webhooks_url is None:
        return []
    troubled = [shop for shop in subscribed if shop.subscriptions_trouble is not None]
    seen = f"{len(subscribed)} of {len(shops)} active shops were subscribed to webhooks"
    if subscribed and settings.webhooks_url is None:
        return [Finding("webhooks", False, f"{seen}, and WEBHOOKS_URL is not set.", "Set it.")]
    if troubled:
        first = troubled[0]
        return [
            Finding(
                "webhooks",
                False,
                f"{seen}, of which {len(troubled)} cannot get all: {first.partition_key}: "
                f"{first.subscriptions_trouble}",
                "`connector-pipeline webhooks check --all` shows all of them.",
            )
        ]
    return [Finding("webhooks", True, seen)]
