"""The broker between Dagster's daemon and the Celery workers: its settings, and who works there.

Celery's own ways to find the workers are a broadcast that waits a second for answers, and a result
backend that says nothing of a worker that was killed. So each worker keeps an entry here for as
long as it lives: its name, its number of processes, and until when the entry counts.
"""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import redis

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.settings import Settings, SettingsError

QUEUE: Final = "dagster"
"""The queue of Celery on which the launcher puts runs: the name that dagster_celery gives it."""

REGISTERED_EVERY_SECONDS: Final = 10.0
COUNTED_FOR_SECONDS: Final = 90
"""A worker that was killed counts until its runs are failed: else its runs, which still count as at
work, would take the place of the living workers' next ones."""

VISIBILITY_SECONDS: Final = 6 * 3600
"""After so long Redis gives a message again that its worker has not acknowledged. It is longer than
any run may take (dagster.yaml, `max_runtime_seconds`), so no run at work is delivered twice."""

TRANSPORT: Final = {
    "visibility_timeout": VISIBILITY_SECONDS,
    # A sender reports a broker that does not answer, and the daemon tries again.
    "max_retries": 2,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "retry_on_timeout": True,
    "health_check_interval": 30,
}

CONFIG: Final[dict[str, Any]] = {
    "broker_transport_options": TRANSPORT,
    "broker_connection_retry_on_startup": True,
    "task_default_queue": QUEUE,
    # JSON alone: a message can make a worker load no other object.
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    # The truth about a run is in Dagster's storage and in connector.run_workers.
    "task_ignore_result": True,
    "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0, "interval_step": 0.2},
}

_WORKERS: Final = "connector-pipeline.workers"
_ANSWERS_WITHIN_SECONDS: Final = 5.0


class BrokerUnavailable(ConnectorError):
    """The broker of the Celery workers cannot be reached, or refuses us."""

    retryable = True
    default_remedy = (
        "Look whether Redis runs at CELERY_BROKER_URL and takes its password; runs wait meanwhile."
    )


def broker_url(settings: Settings) -> str:
    """CELERY_BROKER_URL, which may hold a password. Raises SettingsError if it is not set."""
    if settings.celery_broker_url is None:
        raise SettingsError(
            [
                "CELERY_BROKER_URL: not set, and RUN_LAUNCHER=celery needs it. "
                "Example: CELERY_BROKER_URL=redis://:password@redis.internal:6379/0"
            ]
        )
    return settings.celery_broker_url.get_secret_value()


class Workers:
    """The workers that live. Many threads may use it at once. Raises BrokerUnavailable."""

    def __init__(self, url: str):
        # redis-py is typed loosely.
        self._redis: Any = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            _url_of_redis(url),
            decode_responses=True,
            socket_timeout=_ANSWERS_WITHIN_SECONDS,
            socket_connect_timeout=_ANSWERS_WITHIN_SECONDS,
            health_check_interval=30,
        )

    def register(self, name: str, processes: int) -> None:
        """Count this worker's processes for the next COUNTED_FOR_SECONDS."""
        try:
            now = self._now()
            self._redis.zremrangebyscore(_WORKERS, "-inf", now)
            self._redis.zadd(_WORKERS, {f"{processes} {name}": now + COUNTED_FOR_SECONDS})
        except redis.RedisError as error:
            raise _unavailable(error) from None

    def leave(self, name: str, processes: int) -> None:
        """Count this worker no longer."""
        try:
            self._redis.zrem(_WORKERS, f"{processes} {name}")
        except redis.RedisError as error:
            raise _unavailable(error) from None

    def living_processes(self) -> int:
        """How many worker processes there are."""
        try:
            found = self._redis.zrangebyscore(_WORKERS, self._now(), "+inf")
        except redis.RedisError as error:
            raise _unavailable(error) from None
        return sum(int(entry.partition(" ")[0]) for entry in found)

    def _now(self) -> int:
        # The broker's clock, because hosts may differ.
        seconds, _ = self._redis.time()
        return int(seconds)


def _unavailable(error: redis.RedisError) -> BrokerUnavailable:
    # redis-py's errors name the host and the port, and never the URL or the password.
    return BrokerUnavailable(f"the broker at CELERY_BROKER_URL does not serve: {error}.")


def _url_of_redis(url: str) -> str:
    """The URL as redis-py writes it: kombu has another scheme for a socket, and its database."""
    parts = urlsplit(url)
    if parts.scheme != "redis+socket":
        return url
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    # Not by urlunsplit, which leaves out the slashes where there is no password.
    return f"unix://{parts.netloc}{parts.path}?db={database}"
