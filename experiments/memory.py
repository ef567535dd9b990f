"""How a process that trains on the CPU gets its memory."""

import ctypes

# <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEPT, _AT_ONCE = 2**31 - 1, 2**28


def keep_memory() -> None:
    """Keeps memory that was freed, instead of giving it back and asking for it again.

    XLA's CPU programs take their temporary memory anew at every call, 100 MB or so. By
    default glibc then asks Linux for it each time, which clears every page: about a fifth
    of the time of the small networks' policy update (docs/scaling.md). Does nothing where
    there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in (
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _KEPT),
        (_M_TOP_PAD, _AT_ONCE),
    ):
        mallopt(option, value)
