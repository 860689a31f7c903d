"""Pairs of sequences: alignment, evolution, and reads of haplotypes."""
