"""How a network learns: the loop, its plan and its checkpoints."""
