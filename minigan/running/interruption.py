"""Ctrl-C and SIGTERM, turned into a question that a loop asks between two turns.

    with Interruption() as interruption:
        for turn in turns:
            if interruption.signal:
                break

A handler may run in the middle of a turn, between any two instructions: so it takes a note and nothing else.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While it is entered, the first signal is noted, and the next does what it did before: Ctrl-C, stop at once.

    Only a program's main thread may handle signals; in any other nothing is done.

    Attributes:
        signal: the one that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {which: signal.signal(which, self._note) for which in SIGNALS}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self.__exit__()

    def __exit__(self, *error: object) -> None:
        for which, handler in self._before.items():
            signal.signal(which, signal.SIG_DFL if handler is None else handler)
        self._before = {}
