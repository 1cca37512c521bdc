"""Counts and latencies for Prometheus, under the names that TensorFlow Serving has."""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_PATH = "/monitoring/prometheus/metrics"
"""Where Prometheus finds them, unless the monitoring config names another path."""


def _exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    return tuple(start * factor**power for power in range(count))


@dataclass(frozen=True)
class Family:
    """A metric with labels.

    Attributes:
        name: as Prometheus has it.
        labels: their names.
        buckets: upper limits of a histogram; none make it a counter.
    """

    name: str
    labels: tuple[str, ...]
    buckets: Sequence[float] = ()


MICROSECONDS = _exponential(10, 1.8, 32)  # 10 us to some 20 minutes
REQUESTS = Family(":tensorflow:serving:request_count", ("model_name", "status"))
EXAMPLES = Family(":tensorflow:serving:request_example_count_total", ("model",))
EXAMPLE_COUNTS = Family(
    ":tensorflow:serving:request_example_counts", ("model",), _exponential(1, 2, 14)
)
LATENCY = Family(
    ":tensorflow:serving:request_latency", ("model_name", "API", "entrypoint"), MICROSECONDS
)
RUNTIME_LATENCY = Family(
    ":tensorflow:serving:runtime_latency", ("model_name", "API", "runtime"), MICROSECONDS
)
REQUESTS_LOGGED = Family(":tensorflow:serving:request_log_count", ("model_name", "status_code"))
WARMUP_LATENCY = Family(
    ":tensorflow:serving:model_warmup_latency", ("model_path", "status"), MICROSECONDS
)
QUEUING_LATENCY = Family(
    ":tensorflow:serving:batching_session:queuing_latency",
    ("thread_pool_name",),
    _exponential(100, 1.2, 51),
)
BATCHES = Family(":tensorflow:serving:batching_session:wrapped_run_count", ())
LOADS = Family(":tensorflow:cc:saved_model:load_attempt_count", ("model_path", "status"))
LOAD_LATENCY = Family(":tensorflow:cc:saved_model:load_latency", ("model_path",))


class Metrics:
    """Counts since the start; may be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: dict[Family, dict[tuple[str, ...], _Counter | _Histogram]] = {}

    def add(self, family: Family, value: float, *labels: str) -> None:
        """Add to a counter, or a value to a histogram.

        labels: their values. No names that clients make up: each would make the page longer.
        """
        with self._lock:
            cells = self._cells.setdefault(family, {})
            cell = cells.get(labels)
            if cell is None:
                cell = _Histogram(family.buckets) if family.buckets else _Counter()
                cells[labels] = cell
            cell.add(value)

    def page(self) -> str:
        """All of it in Prometheus's text format."""
        lines = []
        with self._lock:
            for family in sorted(self._cells, key=lambda family: family.name):
                kind = "histogram" if family.buckets else "counter"
                lines.append(f"# TYPE {family.name} {kind}")
                for labels, cell in sorted(self._cells[family].items()):
                    text = ",".join(
                        f'{name}="{_escaped(value)}"'
                        for name, value in zip(family.labels, labels, strict=True)
                    )
                    lines += cell.lines(family.name, text)
        return "\n".join(lines) + "\n"


class _Counter:
    def __init__(self) -> None:
        self._value = 0.0

    def add(self, value: float) -> None:
        self._value += value

    def lines(self, name: str, labels: str) -> list[str]:
        return [f"{name}{{{labels}}} {self._value:.0f}"]


class _Histogram:
    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        lines = []
        total = 0
        for limit, count in zip((*self._buckets, "+Inf"), self._counts, strict=True):
            total += count
            edge = limit if isinstance(limit, str) else f"{limit:g}"
            lines.append(f'{name}_bucket{{{labels},le="{edge}"}} {total}')
        return [
            *lines,
            f"{name}_sum{{{labels}}} {self._sum:g}",
            f"{name}_count{{{labels}}} {total}",
        ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
