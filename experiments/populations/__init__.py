"""Populations of agents that tune their own settings; docs/population.md."""
