"""Questions: one verb a file, asked of any story through its protocol."""
