"""The contract that every platform's adapter fulfils."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from connector_pipeline.model.catalog_item import CatalogItem, CatalogRow, RejectedVariant, row_of
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import Shop, valid_host_name
from connector_pipeline.platforms.http.challenge import TroublePages
from connector_pipeline.settings import Settings

CredentialsT = TypeVar("CredentialsT", bound=BaseModel)

LOOKUP: Final = "lookup"
"""The kind of page, in every adapter, that answers for ids asked for; no item is made of it."""


class Credentials(BaseModel):
    """What the Token Service knows of a shop. A platform adds its secrets as fields of SecretStr.

    `expires_at` is absent where the credentials do not end; without a zone it is UTC.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    expires_at: datetime | None = None


class CredentialSource(Protocol):
    """Where an adapter gets a shop's credentials: the Token Service, asked anew at each call."""

    async def credentials(self, shop: Shop, model: type[CredentialsT]) -> CredentialsT:
        """The shop's credentials parsed as `model`.

        Raises ShopDisconnected (the Token Service has none) or TokenServiceUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class RawPage:
    """One answer of the platform as received.

    `kind` is the adapter's own word for what the body holds. `facts` is what normalizing or going
    on needs beside the body (cursor, page number, totals); never a credential.
    """

    kind: str
    body: bytes
    facts: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(slots=True)
class FetchReport:
    """What a fetch tells of itself while it runs: filled in by the adapter and its HTTP client.

    When the last page has been yielded, `currency` is set and `complete` says whether the
    platform's own counts vouch for the snapshot, or in an increment for the list of changes.
    `read_in_full`: everything was read although changes were asked for. `details` are shown in the
    partition's metadata.
    """

    currency: str | None = None
    complete: bool = False
    read_in_full: bool = False
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    details: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    warnings: list[str] = field(default_factory=list[str])

    def for_another_reading(self) -> "FetchReport":
        """A report for reading the shop anew: what was spent counts on, what was found does not."""
        return FetchReport(
            requests=self.requests, retries=self.retries, waited_seconds=self.waited_seconds
        )


@dataclass(frozen=True, slots=True)
class Lookup:
    """One answer to a question for ids, and the variant ids it says are gone."""

    page: RawPage
    gone: tuple[str, ...]


class Adapter(ABC):
    """Reads a shop's catalog as raw pages, and reads catalog items out of raw pages.

    All that the rest of the project asks of a platform is here. An adapter is a plain object
    without secrets, made once for a process by `from_settings`, and used by several event loops and
    threads, though each shop by one at a time.
    """

    platform_name: ClassVar[str]
    """The platform's name, as partition keys begin: see `model.shop.valid_platform_name`."""

    credentials_model: ClassVar[type[Credentials]]
    """What the Token Service gives for a shop of the platform."""

    example_domain: ClassVar[str]
    """The domain of a shop, as messages show one."""

    trouble_pages: ClassVar[TroublePages] = TroublePages()
    """The pages that the platform answers with in a shop's place while it is in trouble."""

    lists_may_skip: ClassVar[bool] = True
    """Whether a list can skip a live item and its counts agree all the same.

    Then what a complete snapshot lacks is asked for by id, too, before it is called deleted.
    """

    whole_products: ClassVar[bool] = False
    """Whether a product in a snapshot, of whatever sync, comes with all its variants.

    If so, a variant that its product lacks is gone, even in an incremental sync.
    """

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The adapter as the environment says. May raise SettingsError."""

    @staticmethod
    def valid_domain(domain: str) -> str:
        """The domain, if credentials may be sent to a URL built from it. Raises InvalidShop."""
        return valid_host_name(domain)

    @property
    def asked_elsewhere(self) -> str | None:
        """The URL at which shops are asked if it is not their own, and credentials go there."""
        return None

    async def findings(
        self, shops: Sequence[Shop], credential_source: CredentialSource
    ) -> Sequence[Finding]:
        """What `connector-pipeline doctor` should say of the platform; nothing if all is well.

        `shops` are the platform's active ones, the one that was synced last first: it most likely
        answers. At most a few requests are made, and none is retried. A ConnectorError that is
        raised becomes a finding, of a failure.
        """
        return ()

    @abstractmethod
    def fetch(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime | None,
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> AsyncGenerator[RawPage, None]:
        """Yield the shop's pages as they arrive: all, or only of what changed since a time (UTC).

        Where the platform cannot tell what changed, everything is read and the report says so.
        `archived` are the pages that an interrupted attempt at the same sync yielded, in order:
        as long as the next of them is the answer to what would be asked next, it is yielded again
        and not asked for. Raises the errors of model/errors.py.
        """

    @abstractmethod
    def look_up(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        absent: Mapping[str, str],
        witness: CatalogItem,
        report: FetchReport,
    ) -> AsyncGenerator[Lookup, None]:
        """Ask the shop by id for variants that its lists lacked: which of them are gone?

        `absent` maps variant ids to product ids. Gone is what a complete snapshot would not have:
        deleted, or excluded by the filter that the lists are read with. What the answers leave
        open is not gone. `witness`, an item that the lists had, is asked for beside them: an answer
        that lacks it is not believed (InvalidResponse). Raises the errors of model/errors.py.
        """

    @abstractmethod
    def normalize(
        self, shop: Shop, currency: str, pages: Iterable[RawPage]
    ) -> Iterator[CatalogItem | RejectedVariant]:
        """Map raw pages to catalog items, in the pages' order; nothing is dropped silently.

        Asks no platform: the same pages give the same items. Raises InvalidResponse for a page
        that is not what the platform's contract says.
        """

    def rows(
        self, shop: Shop, currency: str, pages: Iterable[RawPage]
    ) -> Iterator[CatalogRow | RejectedVariant]:
        """What `normalize` yields, items as bare rows; an adapter may have a faster way to them."""
        return rows_of(self.normalize(shop, currency, pages))


def rows_of(
    normalized: Iterable[CatalogItem | RejectedVariant],
) -> Iterator[CatalogRow | RejectedVariant]:
    """Items as bare rows, rejects as they are."""
    for each in normalized:
        yield row_of(each) if isinstance(each, CatalogItem) else each
