"""Parts of the pair hidden Markov model."""
