"""The passes, one a file or one family a folder; passes/README.md holds their laws."""

from __future__ import annotations

from graphopt.pipeline.base import Pass
from passes.clip_weights import ClipWeights
from passes.compact_weights import CompactWeights
from passes.convert_float import ConvertFloat
from passes.convert_opset import ConvertOpset
from passes.deduplicate import Deduplicate
from passes.eliminate_identity import EliminateIdentity
from passes.equalize_channels import EqualizeChannels
from passes.factorize import Factorize
from passes.fold_batch_norm import FoldBatchNorm
from passes.fold_constants import FoldConstants
from passes.fold_linear import FoldLinear
from passes.fold_pad import FoldPad
from passes.fuse_operators import FuseOperators
from passes.infer_shapes import InferShapes
from passes.inline_functions import InlineFunctions
from passes.prune_channels import PruneChannels
from passes.quantize import Quantize
from passes.recover_operators import RecoverOperators
from passes.remove_blocks import RemoveBlocks
from passes.remove_dead_nodes import RemoveDeadNodes
from passes.share_weights import ShareWeights
from passes.simplify_algebra import SimplifyAlgebra
from passes.simplify_control_flow import SimplifyControlFlow
from passes.simplify_movement import SimplifyMovement
from passes.sparsify import Sparsify
from passes.strip_provenance import StripProvenance
from passes.tie_weights import TieWeights

PASSES: dict[str, type[Pass]] = {
    InferShapes.name: InferShapes,
    InlineFunctions.name: InlineFunctions,
    SimplifyControlFlow.name: SimplifyControlFlow,
    FoldConstants.name: FoldConstants,
    EliminateIdentity.name: EliminateIdentity,
    FoldBatchNorm.name: FoldBatchNorm,
    FoldLinear.name: FoldLinear,
    FoldPad.name: FoldPad,
    SimplifyMovement.name: SimplifyMovement,
    Deduplicate.name: Deduplicate,
    RecoverOperators.name: RecoverOperators,
    SimplifyAlgebra.name: SimplifyAlgebra,
    ConvertFloat.name: ConvertFloat,
    ConvertOpset.name: ConvertOpset,
    PruneChannels.name: PruneChannels,
    Factorize.name: Factorize,
    RemoveBlocks.name: RemoveBlocks,
    EqualizeChannels.name: EqualizeChannels,
    Quantize.name: Quantize,
    RemoveDeadNodes.name: RemoveDeadNodes,
    FuseOperators.name: FuseOperators,
    Sparsify.name: Sparsify,
    ShareWeights.name: ShareWeights,
    ClipWeights.name: ClipWeights,
    TieWeights.name: TieWeights,
    CompactWeights.name: CompactWeights,
    StripProvenance.name: StripProvenance,
}
