"""What every layer stands on: array roles, errors, randomness, blocks, missing cells."""
