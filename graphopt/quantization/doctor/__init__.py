"""Reading anyone's quantized file: what of it a target runs in integers, why not the rest, and the same file mended."""
