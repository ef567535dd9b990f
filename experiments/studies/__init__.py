"""Comparisons of agents: each trains its variants, and writes a figure and a JSON."""
