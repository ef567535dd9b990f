"""Ctrl-C and SIGTERM, which end a run by saving it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` on Ctrl-C and SIGTERM, and lets nothing but a second Ctrl-C through.

    Whoever ends a job may send SIGTERM again and again while it is being saved.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return

    def handle(number, frame) -> None:
        if number == signal.SIGINT:
            signal.signal(number, previous[number])
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
