"""For each operator that PyTorch executes, graphs in ONNX's text form; opset 21 unless a case says another."""

from tests.distillation.operator_cases.case import Case
from tests.distillation.operator_cases.elementwise import ELEMENTWISE
from tests.distillation.operator_cases.movement import MOVEMENT
from tests.distillation.operator_cases.quantization import QUANTIZED
from tests.distillation.operator_cases.sums import SUMS
from tests.distillation.operator_cases.windows import WINDOWS

CASES = {**ELEMENTWISE, **MOVEMENT, **SUMS, **WINDOWS}

__all__ = ["CASES", "QUANTIZED", "Case"]
