"""Autoregressive models of symbols."""
