"""Calibration in parts, each on its own, by Dask: threads or processes of this machine, or those of a cluster."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from itertools import pairwise

import onnx_ir as ir
from google.protobuf.message import EncodeError

from graphopt.calibration.collect import collect
from graphopt.calibration.source import Samples
from graphopt.calibration.statistics import Statistics
from graphopt.errors import CalibrationError, ModelError
from graphopt.ir.load import load


def collect_in_parts(
    model: ir.Model,
    samples: Samples,
    values: Collection[str],
    grams: Collection[str] = (),
    *,
    parts: int,
    scheduler: str | None = None,
    threads: int = 1,
) -> Statistics:
    """Do what `collect` does in `parts` at once, and merge what they find.

    Of the same values histograms and extremes are those of one pass exactly, Gram matrices but for rounding. Each part
    reads its own samples, so that files must be where it runs.

    Args:
        model, samples, values, grams: as for `collect`; samples that come from an iterator cannot be dealt out.
        parts: how many.
        scheduler: Dask's: "threads", "processes" or "synchronous"; None is the client that is open, a cluster's say, or
            processes where there is none.
        threads: of onnxruntime, for each part.

    Raises:
        CalibrationError: Dask is missing, there are no parts, the number of samples is unknown, or a sample is bad.
        ModelError: as for `collect`, or the model exceeds the 2 GB that can be sent.

    """
    try:
        import dask  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise CalibrationError("to calibrate in parts needs Dask; pip install 'graphopt[parallel]'") from error
    if parts < 1:
        raise CalibrationError(f"data cannot be dealt out to {parts} workers; give 1 or more")
    work = dask.delayed(partial(_collect_part, values=tuple(values), grams=tuple(grams), threads=threads), pure=False)
    serialized = dask.delayed(_serialized(model))
    found = [work(serialized, part) for part in _dealt_out(samples, parts)]
    while len(found) > 1:
        found = [dask.delayed(_merge)(found[index : index + 2]) for index in range(0, len(found), 2)]
    statistics: Statistics
    (statistics,) = dask.compute(*found, scheduler=scheduler or dask.base.get_scheduler() or "processes")
    return statistics


def _dealt_out(samples: Samples, parts: int) -> list[Samples]:
    count = samples.count
    if count is None:
        raise CalibrationError("samples that come from an iterator cannot be dealt out to parts; give a list or a file")
    borders = [count * index // parts for index in range(parts + 1)]
    return [samples.part(start, stop) for start, stop in pairwise(borders) if start < stop] or [samples]


def _serialized(model: ir.Model) -> bytes:
    try:
        return ir.to_proto(model).SerializeToString()
    except (EncodeError, ValueError) as error:
        raise ModelError(
            "the model exceeds the 2 GB of a protobuf and cannot be sent to parts; use one pass"
        ) from error


def _collect_part(
    model: bytes, samples: Samples, *, values: Sequence[str], grams: Sequence[str], threads: int
) -> Statistics:
    return collect(load(model), samples, values, grams, threads=threads)


def _merge(pair: Sequence[Statistics]) -> Statistics:
    first, *others = pair
    return first.merge(others[0]) if others else first
