"""What Prometheus reads: the view `connector.metrics` in its form, or `connector_up 0`.

Its packages are an extra, so only the command `metrics` imports this module.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from threading import Lock
from typing import Final

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.state.metrics import METRICS, Sample
from connector_pipeline.state.metrics import Metric as Meaning

KEPT_SECONDS: Final = 5.0
"""One read serves all scrapes of so long: two Prometheus servers cost the database one query."""

READ_WITHIN: Final = 8.0
"""Prometheus gives a scrape 10 s."""

UP: Final = "connector_up"
READ_SECONDS: Final = "connector_read_seconds"
OF_THE_EXPORTER: Final = {
    UP: "Whether the database answered: without it, no other number is here.",
    READ_SECONDS: "How long the read of these numbers took.",
}

_log: Final = logging.getLogger(__name__)


class MetricsPage(Collector):
    """Reads the numbers for a scrape, at most once in `kept` seconds, within `within` seconds.

    `read` raises ConnectorError or psycopg.Error where the database does not answer.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Sample]],
        *,
        kept: float = KEPT_SECONDS,
        within: float = READ_WITHIN,
    ):
        self._read = read
        self._kept = kept
        self._within = within
        # The lookup of a host's name has no timeout, so a scrape cannot wait for the read itself.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._reading: Future[Sequence[Sample]] | None = None
        self._lock = Lock()
        self._families: list[Metric] = []
        self._until = 0.0
        self._trouble: str | None = None

    def describe(self) -> Iterable[Metric]:
        """No names: the registry would else read the database to learn them."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All families of one read. Raises nothing."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._families = self._fresh()
                self._until = time.monotonic() + self._kept
            return self._families

    def _fresh(self) -> list[Metric]:
        began = time.monotonic()
        try:
            samples = self._samples()
        except (ConnectorError, psycopg.Error) as error:
            self._report(f"{type(error).__name__}: {error}")
            return [_gauge(UP, OF_THE_EXPORTER[UP], 0)]
        except TookTooLong:
            self._report(f"the database has not answered within {self._within:.0f} s")
            return [_gauge(UP, OF_THE_EXPORTER[UP], 0)]
        self._report(None)
        return [
            _gauge(UP, OF_THE_EXPORTER[UP], 1),
            _gauge(READ_SECONDS, OF_THE_EXPORTER[READ_SECONDS], time.monotonic() - began),
            *_families(samples),
        ]

    def _samples(self) -> Sequence[Sample]:
        # A read that hangs is waited for, and no second one is begun beside it. One that ended
        # between two scrapes is old.
        if self._reading is None or self._reading.done():
            self._reading = self._thread.submit(self._read)
        return self._reading.result(self._within)

    def _report(self, trouble: str | None) -> None:
        """Log a trouble once, and its end."""
        if trouble is not None and self._trouble is None:
            _log.warning("The metrics cannot be read: %s", trouble)
        elif trouble is None and self._trouble is not None:
            _log.warning("The metrics are read again.")
        self._trouble = trouble


def _families(samples: Iterable[Sample]) -> list[Metric]:
    of_name: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        of_name[sample.name].append(sample)
    return [_family(name, of_name[name]) for name in sorted(of_name)]


def _family(name: str, samples: Sequence[Sample]) -> Metric:
    # A newer database may have names that this version does not know.
    known = METRICS.get(name, Meaning("See docs/operating.md of a newer version."))
    labels = sorted(samples[0].labels)
    kind = CounterMetricFamily if Meaning.counts(name) else GaugeMetricFamily
    family = kind(name, known.meaning, labels=labels)
    for sample in samples:
        family.add_metric([str(sample.labels.get(label, "")) for label in labels], sample.value)
    return family


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)
