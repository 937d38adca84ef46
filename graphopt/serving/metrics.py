"""What a server counts, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one server; several in a process do not share them.

    Requests are labelled by model and HTTP status; 499 is that of clients who went away before their answer.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "graphopt_requests", "Inference requests, by HTTP status", ("model", "status"), registry=self._registry
        )
        self._latency = Histogram(
            "graphopt_request_seconds",
            "From the head of a request to its answer, of those that were answered with outputs",
            ("model",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._queue = Gauge(
            "graphopt_queue_requests", "Requests that wait, or are being read", ("model",), registry=self._registry
        )
        self._batches = Histogram(
            "graphopt_batch_samples", "Samples of each run", ("model",), buckets=_SAMPLES, registry=self._registry
        )
        self._runs = Histogram(
            "graphopt_run_seconds", "Time of each run", ("model",), buckets=_SECONDS, registry=self._registry
        )

    def watch(self, model: str, waiting: Callable[[], int]) -> None:
        """Ask for the length of a model's queue whenever somebody asks for the metrics."""
        self._queue.labels(model).set_function(waiting)

    def answered(self, model: str, status: int, seconds: float) -> None:
        """Count a request; `model` is empty where there is none of the name that was asked for."""
        self._requests.labels(model, str(status)).inc()
        if status < 400:
            self._latency.labels(model).observe(seconds)

    def ran(self, model: str, samples: int, seconds: float) -> None:
        """Count a run."""
        self._batches.labels(model).observe(samples)
        self._runs.labels(model).observe(seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
