"""Learning: one EM loop, where it starts, and what it tells."""
