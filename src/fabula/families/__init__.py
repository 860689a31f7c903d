"""Families: how one observation looks, given what explains it; one family a file."""
