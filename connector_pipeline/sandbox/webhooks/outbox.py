"""Delivers messages over HTTP in threads of its own: late, twice, out of order, not at all.

It delivers to this machine only, whatever URL somebody has subscribed.
"""

import http.client
import random
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Lock, Thread
from typing import Any, Final
from urllib.parse import urlsplit

from connector_pipeline.sandbox.webhooks.shopify_subscriptions import is_loopback

_AT_ONCE: Final = 16
_MOST_WAITING: Final = 100_000
_MOST_LOGGED: Final = 20_000
_CONNECT_SECONDS: Final = 1.0


class InvalidConditions(ValueError):
    """Conditions under which nothing can be delivered, with the reason."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How messages travel from now on.

    Each leaves `delay` seconds after its occasion, and up to `reorder` seconds later, at random.
    `lost` and `doubled` are the shares that never leave and that leave twice. While `hold` is set
    all wait; afterwards they leave in a burst. Retries come `retry_factor` times as late as the
    platform's. `seed` makes the chances the same each time.
    """

    delay: float = 0.0
    reorder: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    hold: bool = False
    retry_factor: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.lost <= 1 and 0 <= self.doubled <= 1):
            raise InvalidConditions("lost and doubled are shares from 0 to 1")
        if min(self.delay, self.reorder, self.retry_factor) < 0:
            raise InvalidConditions("delay, reorder and retry_factor are not negative")


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one URL. `make` builds headers and body when it leaves.

    `retries` are the seconds from each failed attempt to the next. `note` hears of each attempt:
    whether it was accepted, and whether it was the last.
    """

    shop: str
    topic: str
    url: str
    make: Callable[[], tuple[Mapping[str, str], bytes]]
    accepts: Callable[[int], bool]
    note: Callable[[bool, bool], None]
    seconds: float
    retries: Sequence[float] = ()
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to deliver. `status` is None where nothing answered, with the `error`."""

    shop: str
    topic: str
    message_id: str
    url: str
    number: int
    at: datetime
    seconds: float
    status: int | None
    error: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"at": self.at.isoformat()}


class Outbox:
    """The messages that wait, and the attempts so far. Any thread may use it.

    Its threads start with the first message and end with `close`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._due = Condition(self._lock)
        self._quiet = Condition(self._lock)
        self._conditions = Conditions()
        self._random = random.Random(self._conditions.seed)  # noqa: S311  chances, not secrets
        self._waiting: list[tuple[float, int, Message, int]] = []
        self._held: list[Message] = []
        self._numbers = count()
        self._under_way = 0
        self._counts: Counter[str] = Counter()
        self._attempts: deque[Attempt] = deque(maxlen=_MOST_LOGGED)
        self._threads = self._idle_threads = 0
        self._closed = False

    @property
    def conditions(self) -> Conditions:
        return self._conditions

    def set_conditions(self, changes: Mapping[str, Any]) -> Conditions:
        """Change some, from now on. Held messages leave if they no longer are. InvalidConditions.

        Raises TypeError for a value of another type.
        """
        unknown = sorted(changes.keys() - {each.name for each in fields(Conditions)})
        if unknown:
            raise InvalidConditions(f"unknown: {', '.join(unknown)}")
        with self._lock:
            self._conditions = replace(self._conditions, **changes)
            if "seed" in changes:
                self._random.seed(self._conditions.seed)
            if not self._conditions.hold:
                held, self._held = self._held, []
                for message in held:
                    self._send(message)
            return self._conditions

    def put(self, message: Message) -> None:
        """Let a message leave as the conditions have it. Never waits."""
        with self._lock:
            if self._closed:
                return
            if len(self._waiting) + len(self._held) >= _MOST_WAITING:
                self._counts["dropped"] += 1
            elif self._random.random() < self._conditions.lost:
                self._counts["lost"] += 1
            elif self._conditions.hold:
                self._held.append(message)
            else:
                self._send(message)

    def _send(self, message: Message) -> None:
        chosen, times = self._conditions, 1
        if self._random.random() < chosen.doubled:
            self._counts["doubled"] += 1
            times = 2
        for _ in range(times):
            self._push(message, 0, chosen.delay + self._random.random() * chosen.reorder)

    def _push(self, message: Message, number: int, after: float) -> None:
        heappush(self._waiting, (time.monotonic() + after, next(self._numbers), message, number))
        if self._idle_threads == 0 and self._threads < _AT_ONCE:
            self._threads += 1
            # Daemons: a receiver that does not answer must not hold up the end of the process.
            Thread(target=self._run, name=f"webhooks-{self._threads}", daemon=True).start()
        self._due.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle_threads += 1
                while not self._closed and (
                    not self._waiting or self._waiting[0][0] > time.monotonic()
                ):
                    first = self._waiting[0][0] if self._waiting else None
                    self._due.wait(None if first is None else max(0.0, first - time.monotonic()))
                self._idle_threads -= 1
                if self._closed:
                    return
                _, _, message, number = heappop(self._waiting)
                self._under_way += 1
            try:
                self._deliver(message, number)
            finally:
                with self._lock:
                    self._under_way -= 1
                    self._quiet.notify_all()

    def _deliver(self, message: Message, number: int) -> None:
        began, at = time.monotonic(), datetime.now(UTC)
        status, error = None, None
        try:
            status = _posted(message)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        accepted = status is not None and message.accepts(status)
        last = number >= len(message.retries)
        attempt = Attempt(
            shop=message.shop,
            topic=message.topic,
            message_id=message.message_id,
            url=message.url,
            number=number,
            at=at,
            seconds=time.monotonic() - began,
            status=status,
            error=error,
        )
        message.note(accepted, last)
        with self._lock:
            self._attempts.append(attempt)
            self._counts["accepted" if accepted else "failed"] += 1
            if not accepted and not last and not self._closed:
                after = message.retries[number] * self._conditions.retry_factor
                self._push(message, number + 1, after)

    def attempts(self) -> list[Attempt]:
        """The last attempts, oldest first."""
        with self._lock:
            return list(self._attempts)

    def clear(self) -> None:
        """Forget what waits, what was attempted, and the conditions."""
        with self._lock:
            self._waiting.clear()
            self._held.clear()
            self._attempts.clear()
            self._counts.clear()
            self._conditions = Conditions()
            self._random.seed(self._conditions.seed)

    def idle(self, patience: float) -> bool:
        """Wait until nothing waits or is under way, held messages aside. False: it never was."""
        with self._lock:
            return self._quiet.wait_for(lambda: not self._waiting and not self._under_way, patience)

    def as_json(self) -> dict[str, Any]:
        """The conditions and the counts."""
        with self._lock:
            names = ("accepted", "failed", "lost", "doubled", "dropped")
            return asdict(self._conditions) | {
                "counts": {name: self._counts[name] for name in names},
                "waiting": len(self._waiting) + self._under_way,
                "held": len(self._held),
            }

    def close(self) -> None:
        """Deliver nothing more. Returns when no attempt is under way, a few seconds at most."""
        with self._lock:
            self._closed = True
            self._due.notify_all()
            self._quiet.wait_for(lambda: not self._under_way, 2)


def _posted(message: Message) -> int:
    """The status of the answer. Raises OSError, HTTPException, and ValueError for a foreign URL."""
    parts = urlsplit(message.url)
    host = parts.hostname or ""
    if not is_loopback(host):
        raise ValueError(f"the sandbox delivers to this machine only, and not to {host}")
    headers, body = message.make()
    if parts.scheme == "https":
        # Receivers on loopback have certificates that nobody has signed.
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=_CONNECT_SECONDS, context=unchecked
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=_CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(message.seconds)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, dict(headers))
        with connection.getresponse() as answer:
            answer.read(65_536)
            return answer.status
    finally:
        connection.close()
