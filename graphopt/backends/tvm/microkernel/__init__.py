"""Kernels that are written down instruction by instruction, where no order of loops makes the compiler find them."""
