"""Recursions over arrays, compiled with numba; importing one loads numba."""
