"""What models told by networks share: fitting, checks and questions."""
