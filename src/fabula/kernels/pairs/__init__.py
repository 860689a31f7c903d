"""Compiled loops over pairs of sequences."""
