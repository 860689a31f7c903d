"""Structures: what explains each observation."""
