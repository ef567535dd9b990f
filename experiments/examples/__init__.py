"""Worked examples: how to make the library do what it does not do by itself."""
