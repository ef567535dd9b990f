"""spiral_jax: agents that draw by writing programs, trained by a critic alone."""

__version__ = "0.1.0"
