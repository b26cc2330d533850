"""Keys of files under a passphrase, kept for a short while after each use.

scrypt takes a good part of a second and much memory, on purpose; a worker that goes through thousands of images cannot
pay that for each. So a key that was unlocked stays for `KEPT_SECONDS` after it was last asked for, and then goes.
Keys that are not under a passphrase are read anew each time: that is cheap, and nothing stays.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

KEPT_SECONDS = 60.0

Key = TypeVar("Key")


class Unlocked(Generic[Key]):
    """Keys by what they were unlocked from.

    Parameters
    ----------
    seconds
        How long a key is kept after its last use.
    """

    def __init__(self, seconds: float = KEPT_SECONDS) -> None:
        self._seconds = seconds
        self.forget()
        if hasattr(
            os, "register_at_fork"
        ):  # no timer runs in the child, and it has no use for its parent's keys
            os.register_at_fork(after_in_child=self.forget)

    def __len__(self) -> int:
        """Return how many keys are kept."""
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Unlocked({self._seconds!r})"

    def forget(self) -> None:
        """Let go of every key."""
        self._lock = threading.Lock()
        self._keys: dict[Hashable, tuple[Key, float]] = {}
        self._timer: threading.Timer | None = None

    def get(self, source: Hashable, unlock: Callable[[], Key]) -> Key:
        """Return the key that is kept for a source, or unlock it; and keep it from now on."""
        with self._lock:
            kept = self._keys.get(source)
        key = unlock() if kept is None else kept[0]
        with self._lock:
            self._keys[source] = key, time.monotonic()
            self._expect_idle_keys()
        return key

    def _expect_idle_keys(self) -> None:
        """See to it that somebody looks for idle keys, while there are keys; with the lock held."""
        if self._timer is None and self._keys:
            self._timer = threading.Timer(self._seconds, self._let_go)
            self._timer.daemon = True
            self._timer.start()

    def _let_go(self) -> None:
        """Let go of the keys that nobody has asked for in time."""
        with self._lock:
            oldest = time.monotonic() - self._seconds
            self._keys = {source: kept for source, kept in self._keys.items() if kept[1] > oldest}
            self._timer = None
            self._expect_idle_keys()
