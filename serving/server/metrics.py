"""Counts and latencies for Prometheus, under the names that TensorFlow Serving has."""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

DEFAULT_PATH = "/monitoring/prometheus/metrics"
"""Where Prometheus finds them, unless the monitoring config names another path."""

BUCKETS = tuple(10 * 1.8**power for power in range(32))
"""Upper limits in microseconds: 10 us to some 20 minutes."""

EXAMPLE_BUCKETS = tuple(float(2**power) for power in range(14))
"""Upper limits in examples a request: 1 to 8192."""

_COUNT = ":tensorflow:serving:request_count"
_EXAMPLES = ":tensorflow:serving:request_example_count_total"
_EXAMPLE_COUNTS = ":tensorflow:serving:request_example_counts"
_LATENCY = ":tensorflow:serving:request_latency"


class Metrics:
    """Counts of the requests since the start; may be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = defaultdict(int)
        self._examples: dict[str, int] = defaultdict(int)
        self._example_counts: dict[str, _Histogram] = defaultdict(
            lambda: _Histogram(EXAMPLE_BUCKETS)
        )
        self._latencies: dict[tuple[str, str, str], _Histogram] = defaultdict(_Histogram)

    def count_request(
        self, model: str, api: str, entrypoint: str, status: str, seconds: float, examples: int = 0
    ) -> None:
        """Count one request.

        Args:
            model: its name; only of known models, or any name that is asked for would make the
                page longer.
            api: such as "Predict".
            entrypoint: "GRPC" or "REST".
            status: gRPC's name of the code, such as "OK".
            seconds: from its arrival to its answer.
            examples: `tf.train.Example`s in it.
        """
        with self._lock:
            self._counts[model, status] += 1
            self._latencies[model, api, entrypoint].add(1e6 * seconds)
            if examples:
                self._examples[model] += examples
                self._example_counts[model].add(examples)

    def page(self) -> str:
        """All of it in Prometheus's text format."""
        with self._lock:
            lines = [f"# TYPE {_COUNT} counter"]
            for (model, status), count in sorted(self._counts.items()):
                labels = _labels(model_name=model, status=status)
                lines.append(f"{_COUNT}{{{labels}}} {count}")
            lines.append(f"# TYPE {_EXAMPLES} counter")
            for model, count in sorted(self._examples.items()):
                lines.append(f"{_EXAMPLES}{{{_labels(model=model)}}} {count}")
            lines.append(f"# TYPE {_EXAMPLE_COUNTS} histogram")
            for model, histogram in sorted(self._example_counts.items()):
                lines += histogram.lines(_EXAMPLE_COUNTS, _labels(model=model))
            lines.append(f"# TYPE {_LATENCY} histogram")
            for (model, api, entrypoint), histogram in sorted(self._latencies.items()):
                labels = _labels(model_name=model, API=api, entrypoint=entrypoint)
                lines += histogram.lines(_LATENCY, labels)
        return "\n".join(lines) + "\n"


class _Histogram:
    def __init__(self, buckets: Sequence[float] = BUCKETS) -> None:
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


def _labels(**values: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
