"""Everything that can go wrong with a shop, named by what to do about it.

    ConnectorError
    ├── PlatformUnavailable        the shop's platform does not answer properly; retryable
    │   └── RateLimited            the platform limits us longer than a sync may wait; retryable
    ├── DeadlineExceeded           reading the shop took longer than its deadline; retryable
    ├── ShopBusy                   another run fetches the shop; retryable
    ├── AccessRefused              the shop refuses us, and that is not believed yet
    ├── ShopDisconnected           the shop refuses us: credentials, closed, frozen, role too low
    ├── InvalidResponse            an answer that breaks the platform's contract
    ├── SnapshotShrank             most of a shop is missing in a snapshot, and nobody allowed that
    ├── SnapshotIncomplete         a full sync misses something that the platform counts
    ├── SnapshotTooLarge           the pages of one sync exceed the shop's bound in the archive
    ├── SnapshotMissing            there is no raw snapshot to normalize
    ├── PublishTooSlow             followers of the catalog would miss the rows; retryable
    ├── CurrencyUnknown            the shop's currency could not be read, and is never guessed
    ├── TokenServiceUnavailable    the Token Service does not answer properly; retryable
    │   └── SandboxMixedWithReal   credentials of a sandbox for real shops, or the other way round
    ├── DatabaseUnavailable        Postgres does not answer; retryable
    ├── ArchiveUnavailable         the raw archive cannot be written; retryable
    ├── SyncInterrupted            the run was cancelled or its process ended; retryable
    ├── SyncAbandoned              the run is over and did not record the outcome; retryable
    ├── UnknownShop                the partition key is not in the registry
    ├── AdapterMissing             nothing installed can read the shop's platform
    ├── InvalidSyncRequest         a sync request names no possible shop, or a sync we must not run
    └── Defect                     something nobody foresaw

    InvalidShop                    a shop that cannot be registered (a ValueError)

A message never holds a credential: the code that raises one of these errors builds its message from
names, numbers and statuses, not from requests or URLs with a query. Where it quotes a platform, a
requester or a server, it does so by `clipped`; what it forgot is made up for here.
"""

import traceback
from pathlib import Path
from typing import ClassVar, Final, Self

from connector_pipeline.model.storable import clipped, clipped_lines

LONGEST_MESSAGE: Final = 8_000
"""Bytes of a message, and of a remedy: the end of a server's log fits in."""
_LONGEST_KEY: Final = 400


class ConnectorError(Exception):
    """One shop's failure: its message, whether it is retried, and its remedy."""

    retryable: ClassVar[bool] = False
    default_remedy: ClassVar[str] = "See the run's log."

    def __init__(
        self, message: str, *, partition_key: str | None = None, remedy: str | None = None
    ):
        self.message = clipped_lines(message, most_bytes=LONGEST_MESSAGE)
        super().__init__(self.message)
        self.partition_key = partition_key and clipped(partition_key, most_bytes=_LONGEST_KEY)
        self.remedy = clipped_lines(remedy or self.default_remedy, most_bytes=LONGEST_MESSAGE)

    @property
    def code(self) -> str:
        """The error's name as `connector.syncs.error_code` and events carry it."""
        return type(self).__name__

    def __str__(self) -> str:
        where = f"{self.partition_key}: " if self.partition_key else ""
        return f"{where}{self.message} {self.remedy}"

    def of(self, partition_key: str) -> "ConnectorError":
        """The same error, as one of this shop. An error that names a shop keeps that one."""
        self.partition_key = self.partition_key or clipped(partition_key, most_bytes=_LONGEST_KEY)
        return self


class PlatformUnavailable(ConnectorError):
    """Timeouts, 5xx, resets, captcha pages: retried with backoff before it is raised."""

    retryable = True
    default_remedy = "It will be retried with the next sync."


class RateLimited(PlatformUnavailable):
    """429 or THROTTLED past the bound of what one sync waits out."""

    default_remedy = "The next sync tries again; another app may be using up the shop's limit."


class DeadlineExceeded(ConnectorError):
    """A run was still reading the shop at the shop's deadline."""

    retryable = True
    default_remedy = (
        "The pages that were read stay in the raw archive, and re-executing the run within six "
        "hours goes on after them; if it happens again, raise CONNECTOR_SHOP_DEADLINE."
    )


class ShopBusy(ConnectorError):
    """Another run fetched the shop for as long as this run waited for its lock."""

    retryable = True
    default_remedy = (
        "The other run brings the shop up to date just as this one would have; the next sync "
        "tries again. CONNECTOR_SHOP_WAIT says how long a run waits."
    )


class AccessRefused(ConnectorError):
    """The platform refuses us, and that is not believed yet: the shop stays active.

    A sync takes the place of a ShopDisconnected by this error until the refusal is confirmed.
    """

    default_remedy = (
        "The next sync asks again. Meanwhile `connector-pipeline shops show SHOP` says where to "
        "look."
    )


class ShopDisconnected(ConnectorError):
    """Token unknown or revoked, shop closed or frozen, or a key of too low a role.

    `about_credentials` is whether other credentials may help. They do not help a shop that is
    closed, frozen or locked: such a shop has to be asked again with the same ones. `look_at` says
    where an operator or the merchant sees the cause, also while the refusal is not believed yet;
    the remedy begins with it.
    """

    default_look_at: ClassVar[str] = "Ask the merchant to reconnect."
    asked_again: ClassVar[str] = (
        "A disconnected shop is asked again at growing distances; `connector-pipeline shops resume "
        "SHOP` has it synced at once."
    )
    default_remedy = f"{default_look_at} {asked_again}"

    def __init__(
        self,
        message: str,
        *,
        partition_key: str | None = None,
        look_at: str | None = None,
        about_credentials: bool = True,
    ):
        self.look_at = look_at or self.default_look_at
        super().__init__(
            message, partition_key=partition_key, remedy=f"{self.look_at} {self.asked_again}"
        )
        self.about_credentials = about_credentials


class InvalidResponse(ConnectorError):
    """A body that breaks the platform's contract."""

    default_remedy = (
        "Only the next sync tries again. The page is kept in the raw archive where one was "
        "received whole."
    )


class SnapshotShrank(ConnectorError):
    """A full snapshot lost more than half of a shop's items."""

    default_remedy = (
        "If the merchant really removed them: `connector-pipeline sync SHOP --allow-shrink`."
    )


class SnapshotIncomplete(ConnectorError):
    """A full sync was published, but misses something that the platform counts.

    No sync fails with it: the shop keeps it until a full sync counts.
    """

    default_remedy = (
        "The next syncs bring changes, and a full one is tried again at growing distances; the "
        "warnings of `raw_products` say what is missing."
    )


class SnapshotTooLarge(ConnectorError):
    """The pages of one sync exceed what a shop may take of the raw archive."""

    default_remedy = (
        "If the shop is really that large, raise RAW_ARCHIVE_SHOP_LIMIT; if its lists do not end, "
        "the pages of this sync in the raw archive show it."
    )


class SnapshotMissing(ConnectorError):
    """No complete raw snapshot of the shop is in the archive."""

    default_remedy = "Materialize `raw_products` for this shop, together with `catalog_items`."


class PublishTooSlow(ConnectorError):
    """A publish held its lock so long that readers who follow the changes would miss its rows."""

    retryable = True
    default_remedy = (
        "The catalog is as it was before, and the next sync tries again; if it happens again, look "
        "in pg_stat_activity for what slows or blocks the server."
    )


class CurrencyUnknown(ConnectorError):
    """The shop's currency could not be read, and prices without one are not published."""

    default_remedy = "Give the key a role that may read settings, or `shops add --currency`."


class TokenServiceUnavailable(ConnectorError):
    """Connection, timeout, 5xx or a malformed answer: retried before it is raised."""

    retryable = True
    default_remedy = "Check TOKEN_SERVICE_URL and the Token Service; the next sync tries again."


class SandboxMixedWithReal(TokenServiceUnavailable):
    """The settings mix a sandbox with real shops: its word about a real shop is worth nothing.

    A kind of TokenServiceUnavailable, because nothing was learned about the shop.
    """

    retryable = False
    default_remedy = (
        "Nothing was asked of the shop, and nothing was written. Correct the settings and restart."
    )


class DatabaseUnavailable(ConnectorError):
    """Postgres does not answer, or ended the connection."""

    retryable = True
    default_remedy = "Check CONNECTOR_DATABASE_URL and the server; the next sync tries again."


class ArchiveUnavailable(ConnectorError):
    """The raw archive cannot be used: a full disk, no permission, the store out of reach."""

    retryable = True
    default_remedy = "Check RAW_ARCHIVE_URL, its permissions and space; the next sync tries again."


class SyncInterrupted(ConnectorError):
    """Somebody cancelled the run, or a signal ended its process, in the middle of a shop."""

    retryable = True
    default_remedy = "The catalog is as it was before; sync the shop again."


class SyncAbandoned(ConnectorError):
    """The run was killed, or cancelled while it waited, or failed before it reached the shop."""

    retryable = True
    default_remedy = "The catalog is as it was before; sync the shop again. See the run's log."


class UnknownShop(ConnectorError):
    """The partition key names no shop of the registry."""

    default_remedy = "Register it: `connector-pipeline shops add SHOP --merchant-id M`."


class NotActive(ConnectorError):
    """The shop is registered, but paused or disconnected."""

    default_remedy = "`connector-pipeline shops resume SHOP` first."


class FailedBefore(ConnectorError):
    """The shop's sync failed in the run that this run retries, and its requester knows it."""

    default_remedy = "Not tried again by a retry of the run; sync the shop again."


class AdapterMissing(ConnectorError):
    """The shop is registered, but its platform has no installed adapter that works."""

    default_remedy = (
        "Every sync fails until the package that brings the adapter is installed; "
        "`connector-pipeline doctor` says what is wrong with one that is."
    )


class InvalidSyncRequest(ConnectorError):
    """A sync request names no possible shop, or a shop that must not be synced for it."""

    default_remedy = "Not retried. Correct the request and send it under another sync_id."


class Defect(ConnectorError):
    """An error that nobody foresaw. Its message has the place in the code, not the error's text.

    An unforeseen exception may quote a request, and with it a credential.
    """

    default_remedy = "This is a defect of connector-pipeline: report it with the run's log."

    @classmethod
    def from_exception(cls, error: Exception) -> Self:
        """The defect that an exception shows. Not for a ConnectorError, which is no defect."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return cls(f"unexpected {type(error).__name__}{place}.")


class InvalidShop(ValueError):
    """A shop that cannot be registered, with the reason, which may quote whoever names the shop."""

    def __init__(self, reason: str):
        super().__init__(clipped_lines(reason, most_bytes=LONGEST_MESSAGE))
