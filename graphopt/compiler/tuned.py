"""What measurements decided for kernels: one JSON file in the cache folder, which `tune` writes and `compile` reads.

    {"format": 1, "machines": {MACHINE: {KERNEL: {"name": …, "choices": {KNOB: OPTION}, "before": s, "after": s}}}}

MACHINE tells the target with its caches, the version of TVM and a hash of the schedules; KERNEL is what
`workload_key` makes of a kernel. An entry of another machine or of older schedules is never looked at.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import graphopt
from graphopt.backends.tvm.schedule.choices import Decisions, DecisionTable
from graphopt.errors import OutputError
from graphopt.files import atomic_path, remove
from graphopt.runtime.cache import cache_folder
from graphopt.targets import Target

FILE_NAME = "tuned.json"
_FORMAT = 1
_SCHEDULES = "backends/tvm/schedule/*.py", "backends/tvm/tile.py", "backends/tvm/machine.py"


@dataclass(frozen=True)
class Record:
    """The decisions for a kernel that were measured to be faster than those of analysis.

    Attributes:
        name: of the kernel, for people.
        before, after: seconds of one run with the decisions of analysis, and with these.

    """

    name: str
    choices: Decisions
    before: float
    after: float


@dataclass(frozen=True)
class Contents:
    """All records, by machine and kernel; and what is wrong with the file, in which case there are none."""

    machines: Mapping[str, Mapping[str, Record]]
    damage: str = ""

    def of(self, target: Target) -> Mapping[str, Record]:
        """Return the records of a machine, by kernel."""
        return self.machines.get(machine(target), {})


def path() -> Path:
    """Return where the file lies, if there is one."""
    return cache_folder() / FILE_NAME


def machine(target: Target) -> str:
    """Return the facts that decisions depend on, as text."""
    caches = f"l1={target.l1_bytes} l2={target.l2_bytes}"
    return f"{target} {caches} apache-tvm={version('apache-tvm')} schedules={_schedules()}"


def decisions(target: Target) -> DecisionTable:
    """Return what is decided for the kernels of a machine; nothing where the file is missing or damaged."""
    return {key: record.choices for key, record in read().of(target).items()}


def read() -> Contents:
    """Read the file; raises nothing, since whatever it says can be measured again."""
    try:
        data = json.loads(path().read_text(encoding="utf-8"))
        if data["format"] != _FORMAT:
            return Contents({}, f"{str(path())!r} has format {data['format']}, this graphopt reads {_FORMAT}")
        return Contents({name: _records(records) for name, records in data["machines"].items()})
    except FileNotFoundError:
        return Contents({})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Contents({}, f"{str(path())!r}, what tuning found, cannot be read ({type(error).__name__}: {error})")


def store(target: Target, key: str, record: Record) -> None:
    """Write one record into the file as it is by then: others may tune as well, though not write at the same moment.

    Raises:
        OutputError: the place is not writable, or the disk is full.

    """
    machines = {name: dict(records) for name, records in read().machines.items()}
    machines.setdefault(machine(target), {})[key] = record
    plain = {name: {key: asdict(one) for key, one in records.items()} for name, records in machines.items()}
    text = json.dumps({"format": _FORMAT, "machines": plain}, indent=1, sort_keys=True)
    check_place()
    with atomic_path(path()) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_place() -> None:
    """Make the folder of the file, before anything is measured for it; raises OutputError."""
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the cache {str(path().parent)!r}: {error.strerror}; set GRAPHOPT_CACHE"
        ) from error


def clear() -> int:
    """Remove the file; return how many kernels it had decisions for."""
    count = sum(map(len, read().machines.values()))
    remove(path())
    return count


def _records(data: dict[str, Any]) -> dict[str, Record]:
    return {key: _record(one) for key, one in data.items()}


def _record(data: dict[str, Any]) -> Record:
    choices = {str(knob): str(option) for knob, option in data["choices"].items()}
    return Record(str(data["name"]), choices, float(data["before"]), float(data["after"]))


@functools.cache
def _schedules() -> str:
    """Hash the code that the choices are of."""
    digest = hashlib.sha256()
    root = Path(str(graphopt.__file__)).parent
    for source in sorted(path for pattern in _SCHEDULES for path in root.glob(pattern)):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
