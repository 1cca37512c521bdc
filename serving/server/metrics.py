"""Counts and latencies for Prometheus, under the names that TensorFlow Serving has."""

import threading
from bisect import bisect_left
from collections import defaultdict

DEFAULT_PATH = "/monitoring/prometheus/metrics"
"""Where Prometheus finds them, unless the monitoring config names another path."""

BUCKETS = tuple(10 * 1.8**power for power in range(32))
"""Upper limits in microseconds: 10 us to some 20 minutes."""

_COUNT = ":tensorflow:serving:request_count"
_EXAMPLES = ":tensorflow:serving:request_example_count_total"
_LATENCY = ":tensorflow:serving:request_latency"


class Metrics:
    """Counts of the requests since the start; may be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = defaultdict(int)
        self._examples: dict[str, int] = defaultdict(int)
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
            lines.append(f"# TYPE {_LATENCY} histogram")
            for (model, api, entrypoint), histogram in sorted(self._latencies.items()):
                labels = _labels(model_name=model, API=api, entrypoint=entrypoint)
                lines += histogram.lines(_LATENCY, labels)
        return "\n".join(lines) + "\n"


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(BUCKETS, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        lines = []
        total = 0
        for limit, count in zip((*BUCKETS, "+Inf"), self._counts, strict=True):
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
