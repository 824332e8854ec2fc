"""Ways to break bytes: what the tests of weight files, checkpoints and data files share."""

from __future__ import annotations

import numpy as np


def bit_flipped(rng: np.random.Generator, data: bytes) -> bytes:
    """data, which is not empty, with one bit turned."""
    broken = bytearray(data)
    broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(broken)


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    """data, which is not empty, without one byte or more of its end."""
    return data[: rng.integers(len(data))]


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """data after one to four random edits, or bytes of no meaning at all; now and then it may come out unchanged."""
    if rng.random() < 0.1:
        return rng.bytes(rng.integers(200))
    for _ in range(rng.integers(1, 5)):
        i, j = sorted(rng.integers(len(data) + 1, size=2))
        new, stop = [
            (b"", len(data)),  # cut the end off
            (b"", j),  # or the middle out
            (data[i:j][:16], i),  # say some of it twice
            (rng.bytes(1), i + 1),
            (rng.bytes(4), i + 4),
            (bytes([rng.choice(list(b'\0\t",09:[]{}\xff'))]), i + 1),  # what means something in a header
        ][rng.integers(6)]
        data = data[:i] + new + data[stop:]
    return data


def scratched(rng: np.random.Generator, data: bytes, head: int) -> bytes:
    """data cut off, added to, or with one to three bytes changed: anywhere, or in its first `head` bytes."""
    kind = rng.integers(5)
    if kind == 0:
        return truncated(rng, data)
    if kind == 1:
        return data + rng.bytes(rng.integers(1, 20))
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        i = rng.integers(min(head, len(data)) if kind == 2 else len(data))
        changed[i] = rng.integers(256) if kind == 3 else changed[i] ^ (1 << rng.integers(8))
    return bytes(changed)
