"""Chains: hidden Markov models, and Markov chains of symbols."""
