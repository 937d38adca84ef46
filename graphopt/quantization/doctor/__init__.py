"""Reading anyone's quantized file: what of it a target runs in integers, why not the rest, and the same file mended."""

from graphopt.quantization.doctor.diagnosis import Diagnosis, Finding, Verdict, diagnose
from graphopt.quantization.doctor.treatment import Treatment, treat

__all__ = ["Diagnosis", "Finding", "Treatment", "Verdict", "diagnose", "treat"]
