"""recover-operators: what an exporter took apart becomes the one operator of ONNX that it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from graphopt.rewrite import RewritePass, Rule
from passes.recover_operators.attention import Attention, AttentionOfHeads
from passes.recover_operators.blocks import DepthToSpace, DepthToSpaceByColumns, SpaceToDepth
from passes.recover_operators.hard_sigmoid import (
    HardSigmoidOfSixths,
    HardSigmoidOfUnits,
    HardSwishOfGate,
    HardSwishOfSixths,
)
from passes.recover_operators.normalization import GroupedInstances, MeanSquare, MeanVariance, MeanVarianceApart
from passes.recover_operators.normalization_parameters import NormalizationThenStep
from passes.recover_operators.rectifiers import Elu, LeakyRelu, PRelu, Selu, ThresholdedRelu
from passes.recover_operators.reductions import GlobalPool, ReduceL1, ReduceL2, ReduceLogSumExp, ReduceSumSquare
from passes.recover_operators.shuffles import Shuffle
from passes.recover_operators.smooth import Gelu, GeluByTanh, Mish, Sigmoid, SigmoidGate, Softplus, Softsign
from passes.recover_operators.softmax import LogSoftmax, Softmax


@dataclass(frozen=True)
class RecoverOperators(RewritePass):
    """Recognizes decomposed operators and writes them as the operator that the model's opset has for them.

    The families and their identities are in the modules of this folder. Only float32 and float16 are looked
    at. The operators are the canonical form: no other pass takes them apart. An operator that the opset does
    not have is not written, and no opset is raised. Best before the passes that fold a factor or an addition
    into a convolution (one that takes the 1/6 of a HardSwish leaves three nodes for two), and before common
    parts of two patterns are shared: both hide a pattern.

    Attributes:
        group_normalization: also write GroupNormalization. ONNX defines it by E[x²] - E[x]², and onnxruntime
            computes it so: where the mean is a hundred times the deviation, three digits are left of six.

    """

    name: ClassVar[str] = "recover-operators"
    group_normalization: bool = False

    def rules(self) -> Sequence[Rule]:
        """Return the rules; of two that begin alike, the more special one first."""
        return (
            HardSwishOfSixths(),
            HardSigmoidOfSixths(),
            HardSigmoidOfUnits(),
            HardSwishOfGate(),
            Gelu(),
            GeluByTanh(),
            Mish(),
            Sigmoid(),
            SigmoidGate(),
            Softplus(),
            Softsign(),
            LeakyRelu(),
            PRelu(),
            Elu(),
            Selu(),
            ThresholdedRelu(),
            Softmax(),
            LogSoftmax(),
            MeanVariance(),
            MeanVarianceApart(),
            MeanSquare(),
            *((GroupedInstances(),) if self.group_normalization else ()),
            NormalizationThenStep(),
            ReduceSumSquare(),
            ReduceL1(),
            ReduceL2(),
            ReduceLogSumExp(),
            GlobalPool(),
            DepthToSpace(),
            DepthToSpaceByColumns(),
            SpaceToDepth(),
            Shuffle(),
            Attention(),
            AttentionOfHeads(),
        )
