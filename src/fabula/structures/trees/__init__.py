"""Trees of hidden categories."""
