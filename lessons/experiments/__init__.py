"""Experiments of single lessons that are too long for a cell."""
