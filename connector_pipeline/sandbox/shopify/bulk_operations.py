"""A shop's bulk operations: five at once, each of which moves on when it is polled.

docs/facts/shopify.md, Bulk operations.

A plan decides how they end. By default each completes when it was polled twice and its result is
written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any, Final

from connector_pipeline.sandbox.shopify.bulk_result import BulkResult

AT_ONCE: Final = 5
OUTCOMES: Final = ("COMPLETED", "FAILED", "CANCELED", "EXPIRED", "STALLED")
MISSING: Final = ("start", "middle", "end", "products", "variants")
_FIRST_ID: Final = 7_000_000_000_001
_UNDER_WAY: Final = frozenset({"CREATED", "RUNNING"})

WriteResult = Callable[[BulkResult], None]


class InvalidBulkPlan(ValueError):
    """A plan that cannot be followed, with the reason."""


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """How the operations that start from now on end.

    `polls` is how many polls one takes. `outcome` is COMPLETED, FAILED (with `error_code`, and a
    link to a part of the data if `partial`), CANCELED, EXPIRED, or STALLED, which runs for ever.
    `no_url`: it completes without a result, as if there were no rows. `places_taken` is how many of
    the five other operations of the app take. It completes `seconds` after its start at the
    earliest. `short_by` objects are missing in the result: those at its `missing` place (start,
    middle, end), or only products or only variants from its start. They are counted all the same
    unless `counted` is false. For downloads: `ranges` false ignores Range, `refused` is a status
    that is answered in place of any file.
    """

    polls: int = 2
    outcome: str = "COMPLETED"
    error_code: str | None = None
    partial: bool = False
    no_url: bool = False
    places_taken: int = 0
    seconds: float = 0.0
    short_by: int = 0
    missing: str = "start"
    counted: bool = True
    ranges: bool = True
    refused: int | None = None

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            raise InvalidBulkPlan(f"missing {self.missing!r}: expected one of {', '.join(MISSING)}")
        if self.outcome not in OUTCOMES:
            raise InvalidBulkPlan(
                f"outcome {self.outcome!r}: expected one of {', '.join(OUTCOMES)}"
            )


def plan_from_json(body: Mapping[str, Any]) -> BulkPlan:
    """Read a plan sent over HTTP. Raises InvalidBulkPlan."""
    unknown = sorted(body.keys() - {each.name for each in fields(BulkPlan)})
    if unknown:
        raise InvalidBulkPlan(f"unknown: {', '.join(unknown)}")
    return BulkPlan(**body)


@dataclass(slots=True)
class BulkOperation:
    """One operation. Its counts grow while it runs."""

    number: int
    query: str
    plan: BulkPlan
    result: BulkResult
    created_at: datetime
    status: str = "CREATED"
    polls: int = 0
    started: float = field(default_factory=monotonic)
    completed_at: datetime | None = None
    error_code: str | None = None
    origin: str = ""
    signature: str = field(default="", repr=False)

    @property
    def gid(self) -> str:
        return f"gid://shopify/BulkOperation/{self.number}"

    @property
    def path(self) -> str:
        return f"bulk-{self.number}.jsonl"

    @property
    def object_count(self) -> int:
        return 0 if self.plan.outcome == "STALLED" else self.result.objects

    @property
    def root_object_count(self) -> int:
        return 0 if self.plan.outcome == "STALLED" else self.result.root_objects

    def url(self, domain: str) -> str | None:
        """The signed link to the result, if there is one."""
        done = self.status == "COMPLETED" and not self.plan.no_url and self.result.objects > 0
        return self._link(domain) if done else None

    def partial_url(self, domain: str) -> str | None:
        """The signed link to a part of the result of a failed operation, if there is one."""
        return self._link(domain) if self.status == "FAILED" and self.plan.partial else None

    def _link(self, domain: str) -> str:
        return f"{self.origin}/storage/{domain}/{self.path}?X-Goog-Signature={self.signature}"

    def advance(self) -> None:
        """Move on by one poll."""
        self.polls += 1
        if self.status == "CANCELING":
            self._end("CANCELED")
        elif self.status == "CREATED":
            self.status = "RUNNING"
        elif (
            self.status == "RUNNING"
            and self.plan.outcome != "STALLED"
            and self.polls >= self.plan.polls
            and monotonic() - self.started >= self.plan.seconds
            and self.result.written
        ):
            self.finish()

    def finish(self) -> None:
        """End as planned, if it is still under way."""
        if self.status in _UNDER_WAY:
            self._end(self.plan.outcome)
            self.error_code = self.plan.error_code

    def _end(self, status: str) -> None:
        self.status = status
        self.completed_at = datetime.now(UTC).replace(microsecond=0)


class BulkOperations:
    """All operations of one shop that our app started. Any thread may use it."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.plan = BulkPlan()
        self._lock = Lock()
        self._operations: list[BulkOperation] = []
        self.awaited: Callable[[], bool] = lambda: False
        """Whether a webhook tells of the end, so that an operation ends without being polled."""
        self.ended: Callable[[BulkOperation], None] = lambda _: None
        """Called once for each operation that has ended, without a lock held."""

    def set_plan(self, **changes: Any) -> None:
        """Change the plan for operations that start from now on, and for all downloads."""
        self.plan = replace(self.plan, **changes)

    def all(self) -> Sequence[BulkOperation]:
        """All operations, newest first."""
        with self._lock:
            return self._operations[::-1]

    def find(self, gid: str) -> BulkOperation | None:
        return next((each for each in self.all() if each.gid == gid), None)

    def at_path(self, path: str) -> BulkOperation | None:
        return next((each for each in self.all() if each.path == path), None)

    def start(self, query: str, write: WriteResult, origin: str) -> BulkOperation | None:
        """A new operation, whose result a thread writes; None if five run already."""
        with self._lock:
            running = sum(each.status in _UNDER_WAY | {"CANCELING"} for each in self._operations)
            if running + self.plan.places_taken >= AT_ONCE:
                return None
            number = _FIRST_ID + len(self._operations)
            operation = BulkOperation(
                number=number,
                query=query,
                plan=self.plan,
                result=BulkResult(),
                created_at=datetime.now(UTC).replace(microsecond=0),
                origin=origin,
                signature=sha256(f"signature:{self.domain}:{number}".encode()).hexdigest(),
            )
            self._operations.append(operation)
        Thread(
            target=self._write, args=(operation, write), name=f"bulk-{number}", daemon=True
        ).start()
        return operation

    def _write(self, operation: BulkOperation, write: WriteResult) -> None:
        write(operation.result)
        if not self.awaited() or operation.plan.outcome == "STALLED":
            return
        sleep(max(0.0, operation.started + operation.plan.seconds - monotonic()))
        with self._lock:
            before = operation.status
            operation.finish()
        if operation.status != before:
            self.ended(operation)

    def poll(self, gid: str) -> BulkOperation | None:
        """The operation after one more poll."""
        with self._lock:
            for operation in self._operations:
                if operation.gid == gid:
                    before = operation.completed_at
                    operation.advance()
                    break
            else:
                return None
        if operation.completed_at != before:
            self.ended(operation)
        return operation

    def cancel(self, gid: str) -> BulkOperation | None:
        """Begin to cancel the operation. One that has ended stays as it is."""
        with self._lock:
            for operation in self._operations:
                if operation.gid == gid:
                    if operation.status in _UNDER_WAY:
                        operation.status = "CANCELING"
                    return operation
        return None

    def as_json(self) -> dict[str, Any]:
        """The plan and the operations, newest first, without signatures."""
        return {
            "plan": asdict(self.plan),
            "operations": [
                {
                    "id": each.gid,
                    "status": each.status,
                    "polls": each.polls,
                    "objects": each.object_count,
                }
                for each in self.all()
            ],
        }
