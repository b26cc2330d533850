"""Peak memory of one piece of work in a process of its own; run by `paillier_peers`, or by hand.

    python benchmarks/paillier_memory.py encrypt 10000000

Prints JSON: bytes of the input, of the ciphertexts, and by how much the peak exceeded what was there before.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from medcrypt import paillier


def main(work: str, count: int) -> None:
    """Do the work once, after a small run that builds the tables."""
    public, private = paillier.generate_keypair(3072)
    packing = paillier.Packing(clip=8.0, bits=32, max_terms=10)
    values = np.random.default_rng(5).random(count, dtype=np.float32)
    private.decrypt(public.encrypt(values[:100], packing))
    ciphertexts = packing.ciphertexts(count, public.bits) * public.ciphertext_bytes
    if work == "encrypt":
        before = _start()
        done: object = public.encrypt(values, packing).to_bytes()
    else:
        upload = paillier.EncryptedArray.from_bytes(private.encrypt(values, packing).to_bytes(), public)
        before = _start()
        done = private.decrypt(upload)
    growth = _status("VmHWM") - before
    del done
    print(json.dumps({"input": values.nbytes, "ciphertexts": ciphertexts, "growth": growth}))


def _start() -> int:
    """Forget the peak so far, and return the bytes that are in use now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    """Bytes, from Linux's /proc. getrusage would give a child its parent's peak."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError(f"this system does not report {name}")
    return int(found[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
