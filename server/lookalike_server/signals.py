"""Turns SIGTERM and SIGINT into an event. Knows nothing of what is stopped."""

import asyncio
import signal


def stop_signals() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set; the second one of them ends the program at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        stop.set()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(one)

    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, asked)
    return stop
