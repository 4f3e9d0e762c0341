"""Everything that can go wrong with a shop, named by what to do about it.

    ConnectorError
    ├── PlatformUnavailable        the shop's platform does not answer properly; retryable
    │   └── RateLimited            the platform asks for more patience than we have; retryable
    ├── DeadlineExceeded           the shop took longer to read than it may; retryable
    ├── ShopBusy                   another run fetches the shop; retryable
    ├── ShopDisconnected           the shop refuses us: credentials, closed, frozen, role too low
    ├── InvalidResponse            an answer that breaks the platform's contract
    ├── SnapshotShrank             a snapshot lost too much to be believed unconfirmed
    ├── SnapshotMissing            there is no raw snapshot to normalize
    ├── PublishTooSlow             rows would become visible too long after their date; retryable
    ├── CurrencyUnknown            the shop's currency could not be read, and is never guessed
    ├── TokenServiceUnavailable    the Token Service does not answer properly; retryable
    ├── DatabaseUnavailable        Postgres does not answer; retryable
    ├── ArchiveUnavailable         the raw archive cannot be written; retryable
    ├── SyncInterrupted            the run was cancelled or its process ended; retryable
    ├── SyncAbandoned              the run is over and did not say how the sync ended; retryable
    ├── UnknownShop                the partition key is not in the registry
    ├── AdapterMissing             nothing installed can read the shop's platform
    ├── InvalidSyncRequest         a sync was requested that cannot be, or may not be
    └── Defect                     something nobody foresaw

    InvalidShop                    a shop that cannot be registered (a ValueError)

A message never holds a credential: whoever raises one of these builds it from names, numbers
and statuses, not from requests or URLs with a query.
"""

import traceback
from pathlib import Path
from typing import ClassVar, Self


class ConnectorError(Exception):
    """One shop's failure: what happened, whether it will be retried, what an operator can do."""

    retryable: ClassVar[bool] = False
    default_remedy: ClassVar[str] = "See the run's log."

    def __init__(
        self, message: str, *, partition_key: str | None = None, remedy: str | None = None
    ):
        super().__init__(message)
        self.message = message
        self.partition_key = partition_key
        self.remedy = remedy or self.default_remedy

    @property
    def code(self) -> str:
        """The error's name as `connector.syncs.error_code` and events carry it."""
        return type(self).__name__

    def __str__(self) -> str:
        where = f"{self.partition_key}: " if self.partition_key else ""
        return f"{where}{self.message} {self.remedy}"

    def of(self, partition_key: str) -> "ConnectorError":
        """The same error, known to be this shop's."""
        self.partition_key = self.partition_key or partition_key
        return self


class PlatformUnavailable(ConnectorError):
    """Timeouts, 5xx, resets, captcha pages: retried with backoff before it is raised."""

    retryable = True
    default_remedy = "It will be retried with the next sync; look at the shop's own status page."


class RateLimited(PlatformUnavailable):
    """429 or THROTTLED past the bound of what one sync waits out."""

    default_remedy = "The next sync tries again; another app may be using up the shop's limit."


class DeadlineExceeded(ConnectorError):
    """The shop was still being read when its time was up."""

    retryable = True
    default_remedy = (
        "What was read stays in the raw archive, and re-executing the run within six hours goes on "
        "after it; if it persists, set CONNECTOR_SHOP_DEADLINE to more."
    )


class ShopBusy(ConnectorError):
    """Another run fetches the shop, and was not done with it while this one waited."""

    retryable = True
    default_remedy = (
        "Its outcome brings the shop up to date as well as this one would have; the next sync "
        "tries again. CONNECTOR_SHOP_WAIT says how long to wait."
    )


class ShopDisconnected(ConnectorError):
    """Token unknown or revoked, shop closed or frozen, or a key of too low a role."""

    default_remedy = (
        "Not retried. Ask the merchant to reconnect, then `connector-pipeline shops resume SHOP`."
    )


class InvalidResponse(ConnectorError):
    """A body that breaks the platform's contract."""

    default_remedy = (
        "Not retried. The page is kept in the raw archive where one was received whole."
    )


class SnapshotShrank(ConnectorError):
    """A full snapshot lost more than half of a shop's items."""

    default_remedy = "If the merchant really removed them, sync again with `--allow-shrink`."


class SnapshotMissing(ConnectorError):
    """No complete raw snapshot of the shop is in the archive."""

    default_remedy = "Materialize `raw_products` for this shop first."


class PublishTooSlow(ConnectorError):
    """A publish held its turn so long that who follows the changes would miss its rows."""

    retryable = True
    default_remedy = (
        "The catalog is as it was before, and the next sync tries again; if it persists, see in "
        "pg_stat_activity what slows or blocks the server."
    )


class CurrencyUnknown(ConnectorError):
    """The shop's currency could not be read, and prices without one are not published."""

    default_remedy = "Give the key a role that may read settings, or `shops add --currency`."


class TokenServiceUnavailable(ConnectorError):
    """Connection, timeout, 5xx or a malformed answer: retried before it is raised."""

    retryable = True
    default_remedy = "Check TOKEN_SERVICE_URL and the Token Service; the next sync tries again."


class DatabaseUnavailable(ConnectorError):
    """Postgres does not answer, or ended the connection."""

    retryable = True
    default_remedy = "Check CONNECTOR_DATABASE_URL and the server; the next sync tries again."


class ArchiveUnavailable(ConnectorError):
    """The raw archive cannot be written: a full disk, no permission, the store out of reach."""

    retryable = True
    default_remedy = "Check RAW_ARCHIVE_URL, its permissions and space; the next sync tries again."


class SyncInterrupted(ConnectorError):
    """The run was cancelled, or its process was told to end, in the middle of a shop."""

    retryable = True
    default_remedy = "The catalog is as it was before; sync the shop again."


class SyncAbandoned(ConnectorError):
    """The run was killed, cancelled while it waited, or failed before it came to the shop."""

    retryable = True
    default_remedy = "The catalog is as it was before; sync the shop again. See the run's log."


class UnknownShop(ConnectorError):
    """The partition key names no shop of the registry."""

    default_remedy = "Register it: `connector-pipeline shops add SHOP --merchant-id M`."


class AdapterMissing(ConnectorError):
    """The shop is registered, and no adapter for its platform is installed, or none that works."""

    default_remedy = (
        "Not retried. Install the package that brings the adapter; `connector-pipeline doctor` "
        "says what is wrong with one that is installed."
    )


class InvalidSyncRequest(ConnectorError):
    """A request that names no shop there can be, or one that is not to be synced for it."""

    default_remedy = "Not retried. Ask again, put right, under another sync_id."


class Defect(ConnectorError):
    """Something nobody foresaw, told by where it happened and not by what it said.

    An unforeseen exception may quote a request, and with it a credential.
    """

    default_remedy = "This is a defect of connector-pipeline: report it with the run's log."

    @classmethod
    def from_exception(cls, error: Exception) -> Self:
        """The defect behind an exception; ConnectorErrors are none."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return cls(f"unexpected {type(error).__name__}{place}.")


class InvalidShop(ValueError):
    """A shop that cannot be registered, with the reason."""
