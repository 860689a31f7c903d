"""What a network sees of a table or of images."""
