"""From ONNX operators to Relax: what is computed, in which layout, but not in which loops.

    layout       the layouts that a value can have, and how arrays change between them
    lowered      a value's Relax expression together with its layout; the state of one lowering
    types        shapes and dtypes as TVM sees them
    operators    the table from ONNX operator to our lowering
                 (convolution, transposed, pooling, pointwise, linear, shaping, with window and grouping)
    affine       values held as integers, and what these stand for
    quantization, quantized_operators, integer_products, moving, table
                 where integers are made, multiplied, moved and looked up
    known        constants, and what is dequantized from them
    importer     every other operator: TVM's own ONNX converters, driven node by node
    refusals     what the importer gets wrong, with reasons
    support      can TVM take this node?
    legalize     operators → kernels
    region       a list of nodes → a Relax module

Nothing here depends on the target but the number of lanes.
"""
