"""Networks as pure init / apply functions."""

from spiral_jax.networks.discriminator import Discriminator, make_discriminator
from spiral_jax.networks.policy import Policy, make_policy

__all__ = ["Discriminator", "Policy", "make_discriminator", "make_policy"]
