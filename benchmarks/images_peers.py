"""Sealing pixels: AES-256-GCM in 16 KiB chunks, beside the same bytes through other libraries.

Every contestant reads the same array and, where its interface can, writes into a buffer that is there
already: fresh pages cost more than the encryption does.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import whole_images
from measuring import Goal, Row, alternate, at_least, at_most, kernels, times, version_of

KEY = bytes(range(32))
NONCE = bytes(12)
SALT = bytes(24)
CHUNK = 16384
TAG = 16
SLICE = (512, 512)  # of uint16: 512 KiB
VOLUME = 64 << 20
LARGE_VOLUME = 256 << 20
STREAMED_AT_ONCE = 1 << 20
STREAM = "cryptography Cobblestone"

Call = Callable[[], object]


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    repeats = 3 if quick else 9
    yield from _slice(repeats)
    yield from _volume(VOLUME >> 3 if quick else VOLUME, repeats)
    if not quick:
        yield _against_copying(LARGE_VOLUME)
    yield from whole_images.rows(quick)
    yield _import_time(3 if quick else 9)


def _slice(repeats: int) -> Iterator[Row]:
    """One CT slice, in the kernel alone and in the whole format, on every path that this processor has."""
    from medcrypt._ext import cpu

    pixels = _pixels(2 * SLICE[0] * SLICE[1])
    for path in reversed(cpu.paths()):
        wide = path == "avx512"
        with kernels(path):
            yield from _table(
                f"seal 512 KiB, kernel, {path}",
                pixels.nbytes,
                _seal_with_kernel(pixels),
                _sealing_peers(pixels),
                {"one-shot": None, "loop": times(1.4), "pycryptodome": times(6)} if wide else {},
                repeats,
            )
            yield from _table(
                f"open 512 KiB, kernel, {path}",
                pixels.nbytes,
                _open_with_kernel(pixels),
                _opening_peers(pixels),
                {"loop": times(1.4), "pycryptodome": times(6)} if wide else {},
                repeats,
            )
            yield from _format_rate(f"512 KiB, Cobblestone-256, 1 thread, {path}", pixels, wide, repeats)


def _volume(size: int, repeats: int) -> Iterator[Row]:
    """A volume, where memory traffic decides."""
    pixels = _pixels(size)
    goals = {"one-shot": times(1.0), "stream": times(4), "pycryptodome": times(6)}
    for threads in (1, 2):
        yield from _table(
            f"seal {size >> 20} MiB, Cobblestone-256, {threads} thread{'s' * (threads > 1)}",
            size,
            _seal_with_format(pixels, threads),
            _sealing_peers(pixels)
            | {"stream": (f"{STREAM}, update_into", _cryptography_stream_into(pixels))},
            goals if threads == 1 else {},
            repeats,
        )
    yield from _table(
        f"seal {size >> 20} MiB, Cobblestone-256, bytes in and out",
        size,
        _seal_to_bytes(pixels),
        {"stream": (f"{STREAM}, update", _cryptography_stream(pixels))},
        goals,
        repeats,
    )
    yield from _table(
        f"open {size >> 20} MiB, Cobblestone-256, 1 thread",
        size,
        _open_with_format(pixels, 1),
        _opening_peers(pixels),
        {"one-shot": times(1.0), "pycryptodome": times(6)},
        repeats,
    )


def _table(
    work: str,
    size: int,
    ours: Call,
    peers: dict[str, tuple[str, Call | None]],
    goals: dict[str, Goal],
    repeats: int,
) -> Iterator[Row]:
    """Time ours and all peers in turns, then give a row for each peer."""
    present = {name: call for name, (_, call) in peers.items() if call is not None}
    medians = alternate(ours, *present.values(), repeats=repeats)
    rates = [size / seconds / 1e9 for seconds in medians]
    theirs = dict(zip(present, rates[1:], strict=True))
    for name, (title, call) in peers.items():
        if call is None:
            yield Row.not_installed(work, title)
        else:
            yield Row(work, rates[0], "GB/s", title, theirs[name], goals.get(name))


def _format_rate(work: str, pixels: np.ndarray, wide: bool, repeats: int) -> Iterator[Row]:
    """The rate of the whole format: key schedule, commitment, chunks. Only VAES on 512 bits has a goal."""
    goal = at_least(12, "GB/s") if wide else None
    seal, unseal = alternate(_seal_with_format(pixels, 1), _open_with_format(pixels, 1), repeats=repeats)
    yield Row(f"seal {work}", pixels.nbytes / seal / 1e9, "GB/s", goal=goal)
    yield Row(f"open {work}", pixels.nbytes / unseal / 1e9, "GB/s", goal=goal)


def _against_copying(size: int) -> Row:
    """Two threads of ours beside two threads that only copy: the best that memory allows."""
    pixels = _pixels(size)
    target = np.zeros_like(pixels)
    halves = [(target[: size // 2], pixels[: size // 2]), (target[size // 2 :], pixels[size // 2 :])]
    with ThreadPoolExecutor(2) as pool:
        seal, copy = alternate(
            _seal_with_format(pixels, 2),
            lambda: list(pool.map(lambda pair: np.copyto(*pair), halves)),
            repeats=5,
        )
    return Row(
        f"seal {size >> 20} MiB, Cobblestone-256, 2 threads",
        size / seal / 1e9,
        "GB/s",
        "np.copyto, 2 threads",
        size / copy / 1e9,
        times(0.8),
    )


# --- ours -----------------------------------------------------------------------------------------


def _seal_with_kernel(pixels: np.ndarray) -> Call:
    from medcrypt._ext.aes import AesGcm

    cipher, out = AesGcm(KEY), np.zeros(_sealed_chunks(pixels.nbytes), np.uint8)
    return lambda: cipher.seal_chunks(NONCE, pixels, out, first=0, final=True)


def _open_with_kernel(pixels: np.ndarray) -> Call:
    from medcrypt._ext.aes import AesGcm

    cipher, sealed = AesGcm(KEY), np.zeros(_sealed_chunks(pixels.nbytes), np.uint8)
    cipher.seal_chunks(NONCE, pixels, sealed, first=0, final=True)
    out = np.zeros_like(pixels)
    return lambda: cipher.open_chunks(NONCE, sealed, out, first=0, final=True)


def _seal_with_format(pixels: np.ndarray, threads: int) -> Call:
    from medcrypt.images import cobblestone

    out = np.zeros(cobblestone.sealed_size(pixels.nbytes), np.uint8)
    return lambda: cobblestone.encrypt_into(KEY, pixels, out, threads=threads)


def _seal_to_bytes(pixels: np.ndarray) -> Call:
    from medcrypt.images import cobblestone

    return lambda: cobblestone.encrypt(KEY, pixels)


def _open_with_format(pixels: np.ndarray, threads: int) -> Call:
    from medcrypt.images import cobblestone

    sealed = cobblestone.encrypt(KEY, pixels, salt=SALT)
    out = np.zeros_like(pixels)
    return lambda: cobblestone.decrypt_into(KEY, sealed, out, threads=threads)


# --- theirs: what they are called in the table, and the call (None where they are not installed) ----


def _sealing_peers(pixels: np.ndarray) -> dict[str, tuple[str, Call | None]]:
    return {
        "one-shot": ("cryptography encrypt_into, one shot", _cryptography_seal(pixels)),
        "loop": ("cryptography encrypt_into, 16 KiB loop", _cryptography_seal(pixels, CHUNK)),
        "pycryptodome": ("pycryptodome GCM", _pycryptodome_seal(pixels)),
    }


def _opening_peers(pixels: np.ndarray) -> dict[str, tuple[str, Call | None]]:
    return {
        "one-shot": ("cryptography decrypt_into, one shot", _cryptography_open(pixels)),
        "loop": ("cryptography decrypt_into, 16 KiB loop", _cryptography_open(pixels, CHUNK)),
        "pycryptodome": ("pycryptodome GCM", _pycryptodome_open(pixels)),
    }


def _cryptography_seal(pixels: np.ndarray, chunk: int | None = None) -> Call | None:
    if not version_of("cryptography"):
        return None
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    aead = AESGCM(KEY)
    pairs = _pairs(pixels, np.zeros(_sealed_chunks(pixels.nbytes, chunk), np.uint8), chunk)

    def call() -> None:
        for nonce, plain, sealed in pairs:
            aead.encrypt_into(nonce, plain, None, sealed)

    return call


def _cryptography_open(pixels: np.ndarray, chunk: int | None = None) -> Call | None:
    if not version_of("cryptography"):
        return None
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    aead = AESGCM(KEY)
    sealed = np.zeros(_sealed_chunks(pixels.nbytes, chunk), np.uint8)
    for nonce, plain, place in _pairs(pixels, sealed, chunk):
        aead.encrypt_into(nonce, plain, None, place)
    pairs = _pairs(np.zeros_like(pixels), sealed, chunk)

    def call() -> None:
        for nonce, plain, place in pairs:
            aead.decrypt_into(nonce, place, None, plain)

    return call


def _cryptography_stream_into(pixels: np.ndarray) -> Call | None:
    """The stream, written to its place in one buffer: the fastest way that its interface has."""
    try:
        from cryptography.cobblestone import Cobblestone256Encryptor
    except ImportError:
        return None
    data = memoryview(pixels)
    # Room for the last update to keep its distance from the end, as update_into asks.
    sealed = memoryview(np.zeros(len(data) + STREAMED_AT_ONCE, np.uint8))

    def call() -> None:
        encryptor = Cobblestone256Encryptor(KEY, b"")
        written = 0
        for start in range(0, len(data), STREAMED_AT_ONCE):
            written += encryptor.update_into(data[start : start + STREAMED_AT_ONCE], sealed[written:])
        encryptor.finalize()

    return call


def _cryptography_stream(pixels: np.ndarray) -> Call | None:
    """The stream as its documentation shows it: pieces of bytes, joined."""
    try:
        from cryptography.cobblestone import Cobblestone256Encryptor
    except ImportError:
        return None
    data = memoryview(pixels)

    def call() -> bytes:
        encryptor = Cobblestone256Encryptor(KEY, b"")
        pieces = [
            encryptor.update(data[start : start + STREAMED_AT_ONCE])
            for start in range(0, len(data), STREAMED_AT_ONCE)
        ]
        return b"".join([*pieces, encryptor.finalize()])

    return call


def _pycryptodome_seal(pixels: np.ndarray) -> Call | None:
    if not version_of("pycryptodome"):
        return None
    from Crypto.Cipher import AES

    plain, sealed = memoryview(pixels), memoryview(bytearray(pixels.nbytes))

    def call() -> None:
        cipher = AES.new(KEY, AES.MODE_GCM, nonce=NONCE)
        cipher.encrypt(plain, output=sealed)
        cipher.digest()

    return call


def _pycryptodome_open(pixels: np.ndarray) -> Call | None:
    if not version_of("pycryptodome"):
        return None
    from Crypto.Cipher import AES

    sealed, tag = AES.new(KEY, AES.MODE_GCM, nonce=NONCE).encrypt_and_digest(pixels.tobytes())
    plain = memoryview(bytearray(pixels.nbytes))

    def call() -> None:
        cipher = AES.new(KEY, AES.MODE_GCM, nonce=NONCE)
        cipher.decrypt(sealed, output=plain)
        cipher.verify(tag)

    return call


# --- the pieces -----------------------------------------------------------------------------------


def _pixels(size: int) -> np.ndarray:
    """Random bytes: pages that are really there, where fresh zeros would all share one."""
    return np.random.default_rng(7).integers(0, 256, size, dtype=np.uint8)


def _sealed_chunks(size: int, chunk: int | None = CHUNK) -> int:
    """How long the sealed bytes are: in chunks with a short last one, or in one piece (None)."""
    return size + TAG if chunk is None else size + TAG * (size // chunk + 1)


def _pairs(
    pixels: np.ndarray, sealed: np.ndarray, chunk: int | None
) -> list[tuple[bytes, memoryview, memoryview]]:
    """Nonce, plaintext and ciphertext of every chunk, cut before the clock starts."""
    if chunk is None:
        return [(NONCE, memoryview(pixels), memoryview(sealed))]
    return [
        (
            k.to_bytes(12, "big"),
            memoryview(pixels)[k * chunk : (k + 1) * chunk],
            memoryview(sealed)[k * (chunk + TAG) : (k + 1) * (chunk + TAG)],
        )
        for k in range(pixels.nbytes // chunk + 1)
    ]


def _import_time(repeats: int) -> Row:
    """What `import medcrypt` adds to a Python that has numpy already; a new process each time."""
    code = (
        "import time, numpy; start = time.perf_counter(); import medcrypt; print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    seconds = [float(subprocess.check_output(command, text=True)) for _ in range(repeats + 1)][1:]
    note = "an editable install also checks whether the kernels must be rebuilt" if _is_editable() else ""
    return Row("import medcrypt, beyond numpy", float(np.median(seconds)), goal=at_most(0.15, "s"), note=note)


def _is_editable() -> bool:
    import medcrypt

    return "site-packages" not in (medcrypt.__file__ or "")
