"""Measures of stated probabilities: scores, calibration, costs, differences, comparisons."""
