"""The chaotic cipher on a 512 x 512 image of 8 bits beside published schemes, and the maps beside numpy.

The peers are made again from their descriptions, without what is not the cipher: the fastest reversible C++ design XORs
the image with a logistic orbit in double precision, the fastest Python one with parities of Collatz orbits in numpy.
Neither authenticates, and neither depends on the image; both fall to one known image.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import statistics_rows
from measuring import Goal, Row, alternate, at_least, kernels, times
from medcrypt import SecretKey, images
from medcrypt.images.chaotic import maps

SIDE = 512
LANES, STEPS = 4096, 64
AUTHENTICATED, PORTABLE, COUNTER = 1.0, 0.3, 3.0  # GB/s (issue 8)
MASK, M = np.uint64(0xFFFFFFFF), 1 << 32

# One orbit, one byte of it a pixel: what makes it slow is that each value waits for the one before.
LOGISTIC_XOR = r"""
extern "C" void logistic_xor(const unsigned char *src, unsigned char *dst, unsigned long size, double x, double r) {
    for (unsigned long i = 0; i < size; i++) {
        x = r * x * (1.0 - x);
        dst[i] = src[i] ^ static_cast<unsigned char>(x * 256.0);
    }
}
"""


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar; every figure is of processor time, on one core."""
    from medcrypt._ext import cpu

    repeats = 3 if quick else 9
    image = np.random.default_rng(8).integers(0, 256, (SIDE, SIDE), np.uint8)
    yield from _beside_published_schemes(image, repeats)
    for path in reversed(cpu.paths()):
        goals = {"avx512": (AUTHENTICATED, COUNTER), "portable": (PORTABLE, None)}.get(path, (None, None))
        with kernels(path):
            yield from _whole(image, path, goals, repeats)
    for name in maps.NAMES:
        yield from _map(name, repeats)
    yield from statistics_rows.rows(quick)


def _whole(
    image: np.ndarray, path: str, goals: tuple[float | None, float | None], repeats: int
) -> Iterator[Row]:
    """Sealed images under either variant, authenticated by AES-256-GCM around it."""
    for cipher, goal in zip(("chaotic", "chaotic-ctr"), goals, strict=True):
        seal, unseal = _sealing(image, cipher)
        for verb, call in (("seal", seal), ("open", unseal)):
            (seconds,) = _timed(call, repeats=repeats)
            wanted = at_least(goal, "GB/s") if goal and verb == "seal" else None
            yield Row(
                f"{verb} 512x512 u8, {cipher}, {path}", image.nbytes / seconds / 1e9, "GB/s", goal=wanted
            )


def _beside_published_schemes(image: np.ndarray, repeats: int) -> Iterator[Row]:
    work = "seal 512x512 u8, chaotic, authenticated"
    seal, _ = _sealing(image, "chaotic")
    logistic, name = _logistic_xor(image), "C++ logistic XOR, re-created"
    if logistic is None:
        yield Row(work, None, peer=name, note="no C++ compiler")
    else:
        yield _row(work, image.nbytes, seal, name, logistic, times(3.5), repeats)
    yield _row(
        work, image.nbytes, seal, "numpy Collatz XOR, re-created", _collatz_xor(image), times(50), repeats
    )


def _row(
    work: str,
    size: int,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    goal: Goal,
    repeats: int,
) -> Row:
    mine, other = _timed(ours, theirs, repeats=repeats)
    return Row(work, size / mine / 1e9, "GB/s", peer, size / other / 1e9, goal)


def _timed(*calls: Callable[[], object], repeats: int) -> tuple[float, ...]:
    return alternate(*calls, repeats=repeats, clock=time.process_time)


def _sealing(image: np.ndarray, cipher: str) -> tuple[Callable[[], object], Callable[[], object]]:
    key, back = SecretKey.generate(), np.empty_like(image)
    out = bytearray(images.sealed_size(image.shape, image.dtype, key, cipher=cipher))
    images.encrypt_into(image, key, out, cipher=cipher)
    sealed = bytes(out)
    return (
        lambda: images.encrypt_into(image, key, out, cipher=cipher),
        lambda: images.decrypt_into(sealed, key, back),
    )


def _logistic_xor(image: np.ndarray) -> Callable[[], object] | None:
    """Compile the C++ peer for this very processor, or return None where there is no compiler."""
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "peer.cpp"), Path(folder, "peer.so")
        source.write_text(LOGISTIC_XOR)
        built = subprocess.run(
            [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source],
            check=False,
            capture_output=True,
        )
        if built.returncode:
            return None
        call = ctypes.CDLL(str(library)).logistic_xor
    call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_double, ctypes.c_double]
    call.restype = None
    out = np.empty_like(image)
    return lambda: call(image.ctypes.data, out.ctypes.data, image.nbytes, 0.3141592653589793, 3.9999)


def _collatz_xor(image: np.ndarray) -> Callable[[], object]:
    """Eight Collatz steps from the key and the pixel's number give eight parities, the byte that masks the pixel."""
    numbers = np.arange(image.size, dtype=np.uint64) + np.uint64(987654321987)
    one, three = np.uint64(1), np.uint64(3)

    def encrypt() -> np.ndarray:
        n, mask = numbers, np.zeros(image.size, np.uint8)
        for _ in range(8):
            odd = n & one
            mask = (mask << 1) | odd.astype(np.uint8)
            n = np.where(odd, three * n + one, n >> one)
        return image.ravel() ^ mask

    return encrypt


# ---- maps ---------------------------------------------------------------------------------------------


def _map(name: str, repeats: int) -> Iterator[Row]:
    """Samples a second of one map: `LANES` orbits of `STEPS` steps, of which the last is kept."""
    for bits in (32, 64):
        chosen = maps.Map(name, bits=bits)
        start = chosen.start(LANES)

        def ours(chosen: maps.Map = chosen, start: np.ndarray = start) -> object:
            return chosen.orbit(start, 1, every=STEPS)

        work = f"{name} map, {bits} bits, {LANES} lanes"
        if bits == 64:
            (mine,) = _timed(ours, repeats=repeats)
            yield Row(work, LANES * STEPS / mine, "1/s", note="numpy has no product of 128 bits")
            continue
        state = start.astype(np.uint64)
        parameters = chosen._words(LANES).astype(np.uint64)
        if not np.array_equal(_iterated(name, state, parameters), chosen.orbit(start, 1, every=STEPS)[0]):
            raise AssertionError(f"numpy goes another way: {name}")

        def theirs(state: np.ndarray = state, parameters: np.ndarray = parameters) -> object:
            return _iterated(name, state, parameters)

        mine, other = _timed(ours, theirs, repeats=repeats)
        yield Row(work, LANES * STEPS / mine, "1/s", "numpy, the same integers", LANES * STEPS / other)


def _iterated(name: str, state: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """The same orbit in numpy, in words of 64 bits of which the lower 32 count."""
    for _ in range(STEPS):
        state = _STEPS[name](state, parameters)
    return state


def _flipped(x: np.ndarray) -> np.ndarray:
    return MASK - x


def _hi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a * b >> np.uint64(32)


def _quadratic(x: np.ndarray) -> np.ndarray:
    return x * _flipped(x) >> np.uint64(30)


def _rational(y: np.ndarray) -> np.ndarray:
    return (y << np.uint64(32)) // ((np.uint64(5 * M) - y) >> np.uint64(2))


def _signed(x: np.ndarray) -> np.ndarray:
    return x.astype(np.uint32).view(np.int32).astype(np.int64)


def _scaled(a: np.ndarray, b: np.ndarray, fraction: int) -> np.ndarray:
    return _signed(a) * _signed(b) >> fraction


def _words(x: np.ndarray) -> np.ndarray:
    return x.astype(np.uint64) & MASK


def _logistic(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    return _hi(q[:1], _quadratic(x))


def _piecewise(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    folded = np.minimum(x, _flipped(x))
    return np.where(folded < q[0], folded * q[1], (folded - q[0]) * q[2]) >> np.uint64(27)


def _henon(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    square = _words(_scaled(x[0], x[0], 29))
    return _words(np.stack([(1 << 29) - _scaled(q[0], square, 29) + _signed(x[1]), _scaled(q[1], x[0], 29)]))


def _cat(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    first = (x[0] + q[0] * x[1]) & MASK
    return np.stack([first, (x[1] + q[1] * first) & MASK])


def _cat3(v: np.ndarray, q: np.ndarray) -> np.ndarray:
    x, y = _cat(v[:2], q)
    y, z = _cat(np.stack([y, v[2]]), q)
    z, x = _cat(np.stack([z, x]), q)
    return np.stack([x, y, z])


def _baker(x: np.ndarray, _q: np.ndarray) -> np.ndarray:
    one, top = np.uint64(1), np.uint64(31)
    return np.stack([((x[0] << one) & MASK) | (x[1] & one), x[1] >> one | (x[0] >> top) << top])


def _flow(v: np.ndarray, rates: tuple[np.ndarray, ...], step: int) -> np.ndarray:
    return np.stack(
        [_words(_signed(a) + (_signed(_words(b)) >> step)) for a, b in zip(v, rates, strict=True)]
    )


def _lorenz(v: np.ndarray, q: np.ndarray) -> np.ndarray:
    x, y, z = v
    return _flow(
        v,
        (
            _scaled(q[0], _words(_signed(y) - _signed(x)), 25),
            _scaled(q[1], x, 25) - _scaled(x, z, 19) - _signed(y),
            _scaled(x, y, 19) - _scaled(q[2], z, 25),
        ),
        8,
    )


def _chen(v: np.ndarray, q: np.ndarray) -> np.ndarray:
    x, y, z = v
    return _flow(
        v,
        (
            _scaled(q[0], _words(_signed(y) - _signed(x)), 25),
            _scaled(_words(_signed(q[2]) - _signed(q[0])), x, 25) - _scaled(x, z, 19) + _scaled(q[2], y, 25),
            _scaled(x, y, 19) - _scaled(q[1], z, 25),
        ),
        10,
    )


def _coupled(x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    u = _hi(p, _quadratic(x)) + _hi(_flipped(p), _rational(_quadratic(y)))
    return _rational(_quadratic(u))


def _coupling(v: np.ndarray, q: np.ndarray) -> np.ndarray:
    x = _coupled(v[0], v[1], q[0])
    return np.stack([x, _coupled(v[1], x, q[0])])


def _lattice(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    f = _logistic(x, q)
    mean = (np.roll(f, 1, axis=1) + np.roll(f, -1, axis=1)) >> np.uint64(1)
    return _hi(_flipped(q[1]), f) + _hi(q[1], mean)


_STEPS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "logistic": _logistic,
    "tent": lambda x, q: _hi(q, np.minimum(x, _flipped(x)) << np.uint64(1)),
    "piecewise": _piecewise,
    "sine": lambda x, q: _hi(q, _rational(_quadratic(x))),
    "henon": _henon,
    "cat": _cat,
    "cat3": _cat3,
    "baker": _baker,
    "lorenz": _lorenz,
    "chen": _chen,
    "coupling": _coupling,
    "lattice": _lattice,
}
