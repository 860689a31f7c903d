"""What models of sequences share: reading them, and their questions."""
