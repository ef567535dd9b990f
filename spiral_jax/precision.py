"""Agents are trained, and draw, in float32, whatever JAX's default is."""

import functools
from collections.abc import Callable

import jax


def in_float32(function: Callable) -> Callable:
    """Makes a function compute in float32 where JAX_ENABLE_X64 asks for float64.

    Networks, random numbers and checkpoints would have other dtypes otherwise, and where
    they meet float32 (pictures, say) convolutions refuse them. It holds in the calling
    thread; what a thread of its own runs has to be wrapped as well.
    """

    @functools.wraps(function)
    def wrapped(*arguments, **named):
        with jax.enable_x64(False):
            return function(*arguments, **named)

    return wrapped
