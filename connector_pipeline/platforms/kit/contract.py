"""The contract that every platform's adapter fulfils."""

from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Final, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, SecretStr

from connector_pipeline.model.catalog_item import CatalogItem, CatalogRow, RejectedVariant, rows_of
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.hint import MOST_HINTED
from connector_pipeline.model.shop import Shop, valid_host_name
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.model.url_secrets import with_logins
from connector_pipeline.platforms.http.challenge import TroublePages
from connector_pipeline.platforms.kit.listed_ids import ListedIds
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.platforms.kit.source import PlatformSource
from connector_pipeline.platforms.kit.webhooks import Changes, SubscriptionState, WebhookReader
from connector_pipeline.settings import Settings

CredentialsT = TypeVar("CredentialsT", bound=BaseModel)

LOOKUP: Final = "lookup"
"""The kind of the pages that answer a lookup, in every adapter. No item is made of them."""


class Credentials(BaseModel):
    """A shop's credentials, as the Token Service gives them.

    An adapter's subclass adds the platform's secrets, as fields of SecretStr. `expires_at` is
    absent where the credentials do not expire; without a zone it is UTC.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    expires_at: datetime | None = None

    def secrets(self) -> list[str]:
        """The secrets themselves, and each pair as Basic authentication sends it. Never show them.

        They are handed to the redaction, so that no text of ours quotes them.
        """
        held = [
            value.get_secret_value()
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), SecretStr)
        ]
        return with_logins(held)


class CredentialSource(Protocol):
    """Gives an adapter a shop's credentials: the Token Service, asked again at each call."""

    async def credentials(self, shop: Shop, model: type[CredentialsT]) -> CredentialsT:
        """The shop's credentials parsed as `model`.

        Raises ShopDisconnected (the Token Service has none) or TokenServiceUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class RawPage:
    """One answer of the platform as received.

    `kind` is the adapter's own word for what the body holds. `facts` are the page facts: what
    normalizing and resuming need beside the body (cursor, page number, totals), never a credential.
    """

    kind: str
    body: bytes
    facts: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


Announced = Callable[[str, float], Awaitable[bool]]
"""Waits until a hint with this token has arrived, for so many seconds at most. Has it?"""

InCatalog = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Of these products, those that have live items in the catalog."""


@dataclass(slots=True)
class FetchReport:
    """The figures of one fetch. The adapter and its HTTP client fill it in while the fetch runs.

    When the last page has been yielded, `currency` is set, and `complete` says whether the
    platform's own counts agree with the snapshot, or in an increment with the list of changes: only
    then is an absence believed without asking. `all_read` says that everything the platform counts
    was read, or that its lack is explained, although the counts do not agree to the last object,
    e.g. because the shop was edited while it was read. A full sync that is neither does not count
    as one. `read_in_full` says that everything was read although only changes were asked for.

    `unreadable` are the products and variants that the platform has and cannot give, by their ids.
    Their items stay as they were, and their absence leaves nothing open.

    `published_at` is when the shop's last published sync began, of any type; an adapter that finds
    data of an earlier sync takes none that is older. `as_of` is the time of such data, if it is
    earlier than the start of this sync: the next increment begins there. `awaiting()` is entered
    while the
    platform works for the adapter without being read, e.g. while it prepares an export: that time
    does not count towards the shop's deadline, and the adapter bounds it. `announced` waits for the
    webhook that says that the platform is done; None where there is nobody to ask.

    `reading` is 2 when the first reading of the shop was neither, and the shop is read again.
    `perhaps_gone` are the products of an increment that seem to be gone; they are asked for by id.
    `not_yet` are the tokens of hints whose change the platform's answers did not show yet, and the
    ids of products that were not read well: they are asked for again by a hinted sync.
    `listed` are the ids of everything that the shop lists, if the increment asked for them: live
    items of the catalog that it lacks are asked for by id, too. `in_catalog` tells which of some
    products have live items in the catalog; it is None where there is no catalog to ask.
    The UI shows `details` with the partition.

    `waited_seconds` were waited as the platform asked or between retries, and `archive_seconds` for
    the raw archive, which the adapter does not know.

    `page_sizes` and `learned` are the adapter's memory of the shop, by words of the adapter's own:
    the adapter finds what earlier syncs put in, and changes it. `page_sizes` are kept however the
    sync ends. `learned` is kept when the sync was published, so it may speak of the catalog.
    """

    currency: str | None = None
    complete: bool = False
    all_read: bool = False
    read_in_full: bool = False
    reading: int = 1
    unreadable: set[str] = field(default_factory=set[str])
    published_at: datetime | None = None
    as_of: datetime | None = None
    awaiting: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False)
    announced: Announced | None = field(default=None, repr=False)
    perhaps_gone: set[str] = field(default_factory=set[str])
    not_yet: set[str] = field(default_factory=set[str])
    listed: ListedIds | None = None
    in_catalog: InCatalog | None = None
    page_sizes: dict[str, int] = field(default_factory=dict[str, int])
    learned: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    archive_seconds: float = 0.0
    details: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    warnings: list[str] = field(default_factory=list[str])

    def for_another_reading(self) -> "FetchReport":
        """A report for another reading. It keeps requests, retries, waits and the memory."""
        return FetchReport(
            reading=self.reading + 1,
            published_at=self.published_at,
            awaiting=self.awaiting,
            announced=self.announced,
            requests=self.requests,
            retries=self.retries,
            waited_seconds=self.waited_seconds,
            archive_seconds=self.archive_seconds,
            page_sizes=self.page_sizes,
            learned=self.learned,
            in_catalog=self.in_catalog,
        )


@dataclass(frozen=True, slots=True)
class Lookup:
    """One answer to a lookup, and the ids of the variants that are gone by it.

    `left_open` are those that the platform counts and does not give, asked for one by one.
    """

    page: RawPage
    gone: tuple[str, ...]
    left_open: tuple[str, ...] = ()


class Adapter(ABC):
    """Reads a shop's catalog as raw pages, and makes catalog items of raw pages.

    The rest of the project asks nothing else of a platform. An adapter is a plain object without
    secrets. A process makes it once, by `from_settings`, and each run uses the one that
    `for_one_run` returns: a process may execute many runs, one after another and several at once.
    Several event loops and threads use an adapter, though only one at a time reads a shop.
    """

    platform_name: ClassVar[str]
    """The platform's name, as partition keys have it; see `model.shop.valid_platform_name`."""

    credentials_model: ClassVar[type[Credentials]]
    """The form of the credentials that the Token Service gives for a shop of the platform."""

    example_domain: ClassVar[str]
    """A domain that messages show as an example."""

    source: ClassVar[PlatformSource | None] = None
    """The platform as the graph of assets shows it; None: by its name alone."""

    trouble_pages: ClassVar[TroublePages] = TroublePages()
    """The pages that the platform answers with in a shop's place while it is in trouble."""

    lists_may_skip: ClassVar[bool] = True
    """Whether a list can skip a live item although its counts agree.

    If so, variants that a complete snapshot lacks are looked up, too, before they are tombstones.
    """

    whole_products: ClassVar[bool] = False
    """Whether a product in a snapshot of any sync type comes with all its variants.

    If so, a variant that its product lacks in an increment seems to be gone, and is looked up.
    """

    has_paths: ClassVar[bool] = False
    """Whether a shop may lie in a folder of its domain, which `Shop.path` then names."""

    most_hinted: ClassVar[int] = MOST_HINTED
    """From more tokens of hints than this on, an increment is the better way to read them."""

    overlap: ClassVar[timedelta] = timedelta(minutes=10)
    """How far an increment reaches back behind the high-water mark.

    A platform's search index may lag behind its products, and a shop's clock need not be ours.
    """

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The adapter that these settings describe. May raise SettingsError."""

    def for_one_run(self) -> Self:
        """The adapter for one run, which may remember what it learns of the shops; here itself.

        An adapter that remembers anything returns a new one here: what one run has learned may be
        wrong by the next.
        """
        return self

    @staticmethod
    def valid_domain(domain: str) -> str:
        """The domain, if credentials may be sent to a URL built from it. Raises InvalidShop."""
        return valid_host_name(domain)

    @property
    def asked_elsewhere(self) -> str | None:
        """The URL that gets requests and credentials instead of the shops' own; usually None."""
        return None

    def admin_url(self, shop: Shop) -> str | None:
        """Where the merchant looks after the shop, for people to follow; None where nobody knows.

        Nothing is asked there. A shop of a sandbox has no such page.
        """
        return None

    async def findings(
        self, shops: Sequence[Shop], credential_source: CredentialSource
    ) -> Sequence[Finding]:
        """The adapter's own findings for `connector-pipeline doctor`; none by default.

        `shops` are the platform's active shops. The first is the one that was synced last, because
        it is the most likely to answer. An adapter makes a few requests at most and retries none. A
        ConnectorError that it raises becomes a finding of a failure.
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

        Where the platform cannot say what changed, the adapter reads everything and the report says
        so. `archived` are the pages that an interrupted attempt at the same sync yielded, in order.
        As long as the next of them answers the next question, the adapter yields it again and asks
        the shop nothing. Raises the errors of model/errors.py.
        """

    @property
    def webhooks(self) -> WebhookReader | None:
        """The reader of the platform's webhooks; None: it has none, or no adapter reads them."""
        return None

    def fetch_hinted(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        tokens: Mapping[str, datetime | None],
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> AsyncGenerator[RawPage, None] | None:
        """Yield pages with the whole products that these tokens of hints name; None: it cannot.

        Each token comes with the time of its newest change, where it is known. A product that the
        platform does not have goes into `report.perhaps_gone`. A token that the platform answers as
        it was before that time goes into `report.not_yet`, and is asked for again later. The rest
        is as in `fetch`.
        """
        return None

    def has_whole_products(self, sync_type: SyncType) -> bool:
        """Whether the products of a sync come with all their variants."""
        return self.whole_products or sync_type is SyncType.HINTED

    async def changes(
        self,
        shop: Shop,
        credential_source: CredentialSource,
        *,
        since: datetime,
        cursor: str | None,
    ) -> Changes | None:
        """Look at the platform's change feed: what changed since a time, or since a cursor.

        One or two small requests. None: the platform has no cheap way to tell. Raises what `fetch`
        raises.
        """
        return None

    async def subscriptions(
        self, shop: Shop, credential_source: CredentialSource, *, url: str
    ) -> SubscriptionState | None:
        """The shop's webhooks that deliver to this URL. None: the adapter cannot subscribe.

        Raises what `fetch` raises.
        """
        return None

    async def subscribe(
        self, shop: Shop, credential_source: CredentialSource, *, url: str, secret: str
    ) -> SubscriptionState | None:
        """Make the webhooks that are missing, and restore those that do not deliver.

        `secret` signs the deliveries where the platform lets us choose; those that are there get
        it, too. Returns the state afterwards. Raises what `fetch` raises.
        """
        return None

    async def unsubscribe(
        self, shop: Shop, credential_source: CredentialSource, *, url: str
    ) -> SubscriptionState | None:
        """Delete the webhooks that deliver to this URL. Returns the state afterwards."""
        return None

    async def answers(self, shop: Shop, credential_source: CredentialSource) -> None:
        """Ask a shop that refused us one small question for its products.

        Returns if the shop answers it, and raises what `fetch` raises if not. By default this
        reads the first page of a fetch; an adapter that knows a smaller question asks that.
        """
        pages = self.fetch(shop, credential_source, since=None, report=FetchReport())
        async with aclosing(pages):
            await anext(pages, None)

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

        `absent` maps variant ids to product ids. A variant is gone if a complete snapshot would not
        have it: it was deleted, or the lists' filter excludes it. A variant that the answers leave
        open is not gone. Each lookup asks for `witness` too, an item that the lists had, and an
        answer without it raises InvalidResponse. Raises the errors of model/errors.py.
        """

    @abstractmethod
    def normalize(
        self, shop: Shop, currency: str, pages: Iterable[RawPage]
    ) -> Iterator[CatalogItem | RejectedVariant]:
        """Make catalog items of raw pages, in the pages' order; nothing is dropped silently.

        The platform is not asked, so the same pages give the same items. Raises InvalidResponse for
        a page that is not of the form that the platform documents.
        """

    def rows(
        self,
        shop: Shop,
        currency: str,
        pages: Iterable[RawPage],
        remarks: Remarks | None = None,
    ) -> Iterator[CatalogRow | RejectedVariant]:
        """The same as `normalize`, with items as bare rows. An adapter may have a faster way.

        It may add to `remarks` what an operator should know of items that it yields.
        """
        return rows_of(self.normalize(shop, currency, pages))
