"""Measurements: fabula and its peers side by side, in one process, as ratios."""
