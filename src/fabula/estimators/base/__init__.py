"""What models of rows share: reading tables, fitting and answering questions."""
