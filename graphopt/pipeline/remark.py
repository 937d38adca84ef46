"""What a pass says of single nodes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What happened to a chance to rewrite."""

    APPLIED = "applied"
    MISSED = "missed"


@dataclass(frozen=True)
class Remark:
    """One thing that a pass did or refused to do, in the manner of LLVM's optimization remarks."""

    verdict: Verdict
    pass_name: str
    node: str
    message: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.pass_name}: {self.node}: {self.message}"
