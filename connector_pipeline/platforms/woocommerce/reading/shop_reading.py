"""One reading of a shop over a session: all of it, what changed, or what hints name."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.read_ahead import read_ahead
from connector_pipeline.platforms.kit.rest.pace import Pace
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.woocommerce.reading.broken import AroundBroken, report_left_out
from connector_pipeline.platforms.woocommerce.reading.changes import ChangesWalk
from connector_pipeline.platforms.woocommerce.reading.currency import shop_currency
from connector_pipeline.platforms.woocommerce.reading.endpoints import Endpoints
from connector_pipeline.platforms.woocommerce.reading.facts_of_shop import with_facts_of_shop
from connector_pipeline.platforms.woocommerce.reading.hinted import HintedWalk
from connector_pipeline.platforms.woocommerce.reading.lists import ListReader
from connector_pipeline.platforms.woocommerce.reading.page_sizes import PageSizes
from connector_pipeline.platforms.woocommerce.reading.paging import CatalogWalk
from connector_pipeline.platforms.woocommerce.talking.session import WooCommerceSession


@dataclass(frozen=True, slots=True)
class ShopReading:
    """What the walks over one shop need. `statuses` are those of the products that are read."""

    shop: Shop
    session: WooCommerceSession
    around: AroundBroken
    reader: ListReader
    statuses: Sequence[str]
    report: FetchReport

    async def pages(self, since: datetime | None) -> AsyncGenerator[RawPage]:
        """All pages of the catalog; with `since`, of what changed, or all if none can say that."""
        endpoints = Endpoints(learned=self.report.learned)
        if since is None:
            walk = CatalogWalk(
                self.reader,
                statuses=self.statuses,
                endpoints=endpoints,
                report=self.report,
                broken=self.around.found,
            ).pages()
        else:
            walk = ChangesWalk(
                self.reader,
                since=since,
                statuses=self.statuses,
                endpoints=endpoints,
                report=self.report,
                broken=self.around.found,
            ).pages()
        # Archived pages are read and written in turn: the writer must not meet its own reader.
        walk = read_ahead(walk) if self.reader.archived.exhausted else walk
        async with aclosing(self._with_facts(walk)) as pages:
            async for page in pages:
                yield page

    async def hinted(self, tokens: Mapping[str, datetime | None]) -> AsyncGenerator[RawPage]:
        """The pages of the products that the tokens name."""
        walk = HintedWalk(self.reader, tokens, statuses=self.statuses, report=self.report)
        async with aclosing(self._with_facts(walk.pages())) as pages:
            async for page in pages:
                yield page
        if self.report.currency is None:
            # No token names anything, and a snapshot has a currency all the same.
            self.report.currency = await shop_currency(self.session, self.shop, self.report)

    def _with_facts(self, walk: AsyncGenerator[RawPage]) -> AsyncGenerator[RawPage]:
        return with_facts_of_shop(walk, self.session, self.shop, self.report)


@asynccontextmanager
async def shop_reading(
    shop: Shop,
    session: WooCommerceSession,
    *,
    statuses: Sequence[str],
    batch_size: int,
    at_once: int,
    pace: Pace,
    report: FetchReport,
    archived: ArchivedPages,
) -> AsyncGenerator[ShopReading]:
    """A reading in pages of `batch_size`. The report gets what was met in the block."""
    sizes = PageSizes(report.page_sizes, batch_size)
    around = AroundBroken(session, sizes)
    # So many ahead that one slow page does not stop the others.
    reader = ListReader(around, sizes=sizes, ahead=2 * at_once, archived=archived)
    yield ShopReading(shop, session, around, reader, statuses, report)
    sizes.end_of_sync()
    report_left_out(around.found, report)
    report.details |= {
        "requests_at_once": pace.highest,
        "smaller_pages": reader.smaller_pages + around.in_parts,
    }
