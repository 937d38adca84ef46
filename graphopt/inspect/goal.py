"""How good the answers of a changed model have to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphopt.errors import CalibrationError
from graphopt.inspect.fidelity import Fidelity


@dataclass(frozen=True)
class Goal:
    """What is asked of the answers, as `Fidelity` measures them; raises CalibrationError where that is nothing.

    Attributes:
        error: how large their relative error may be, above 0; None leaves it open.
        agreement: for which share of samples the class has to stay the same, up to 1; None leaves it open.

    """

    error: float | None = None
    agreement: float | None = None

    def __post_init__(self) -> None:
        if self.error is not None and not 0 < self.error < math.inf:
            raise CalibrationError(f"an error of {self.error:g} cannot be asked for; give one above 0, as 0.05")
        if self.agreement is not None and not 0 < self.agreement <= 1:
            raise CalibrationError(f"an agreement of {self.agreement:g} is no share; give one of up to 1, as 0.99")

    def __bool__(self) -> bool:
        return self.error is not None or self.agreement is not None

    def __str__(self) -> str:
        error = "" if self.error is None else f"a relative error of at most {self.error:g}"
        agreement = "" if self.agreement is None else f"the same answer to at least {self.agreement:.6g} of the samples"
        return " and ".join(filter(None, (error, agreement)))

    def excess(self, found: Fidelity | None) -> float:
        """Return how far answers are from the goal: 0 or less where they reach it.

        Raises:
            CalibrationError: the answers cannot be measured so.

        """
        if found is None:
            raise CalibrationError("no output holds floating-point numbers whose error could be measured; ask for none")
        missing = [] if self.error is None else [found.error - self.error]
        if self.agreement is not None:
            if found.agreement is None:
                raise CalibrationError(
                    f"output {found.output!r} holds no scores of classes that could agree; ask for a largest error"
                )
            missing.append(self.agreement - found.agreement)
        return max(missing, default=0.0)
