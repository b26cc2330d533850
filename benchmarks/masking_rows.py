"""Masks beside the arithmetic of Flower's SecAgg+; the server's last step; a thousand clients.

All figures are processor time of one core. Flower is called where it is installed. It pins pycryptodome below 4 and
so is not among the extras. Without it the same steps are done here as flwr 1.41 does them, with the same result:
each mask is drawn by numpy's RandomState (MT19937) seeded by 32 bits, as int64, and added array by array; the sum
is taken modulo 2^32.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from measuring import Row, alternate, at_most, kernels, times, version_of
from medcrypt import Identity
from medcrypt.aggregation import MaskingClient, MaskingServer, Plan, add_integers, quantise
from medcrypt.aggregation.masks import apply_masks, words_of

VALUES, NEIGHBOURS = 1_000_000, 10
MODULUS = 1 << 32
STEPS = ("share", "upload", "confirm", "reveal")


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the masking back-end."""
    yield from _masks(3 if quick else 7)
    yield _unmasking(100_000 if quick else VALUES)
    yield from (
        _many(
            100,
        )
        if quick
        else _many(250, 1000)
    )


# ---- one client's masks -------------------------------------------------------------------------------


def _masks(repeats: int) -> Iterator[Row]:
    """Ten masks for neighbours and one of the client's own, on a million values."""
    seeds = [os.urandom(32) for _ in range(NEIGHBOURS + 1)]
    integers = np.random.default_rng(1).integers(0, 1 << 22, VALUES)
    name, theirs = _flower()

    def ours() -> object:
        words = words_of(integers, 32)
        apply_masks(words, seeds[:6], seeds[6:])
        return words

    our_seconds, their_seconds = alternate(
        ours, lambda: theirs(integers, seeds), repeats=repeats, clock=time.process_time
    )
    work = f"client masks, {VALUES:,} values, {NEIGHBOURS} neighbours"
    yield Row(work, our_seconds, goal=at_most(0.025, "s"))
    yield Row(
        work,
        our_seconds,
        peer=name,
        theirs=their_seconds,
        goal=times(4),
        note="theirs have a seed of 32 bits",
    )
    for path in ("avx2", "portable"):
        with kernels(path):
            (seconds,) = alternate(ours, repeats=repeats, clock=time.process_time)
        yield Row(f"{work}, {path}", seconds, peer=name, theirs=their_seconds)


def _flower() -> tuple[str, Callable[[NDArray[np.int64], list[bytes]], object]]:
    """Flower's arithmetic and its name."""
    version = version_of("flwr")
    if version is None:
        return "Flower SecAgg+ (re-created)", _recreated
    from flwr.common.secure_aggregation import ndarrays_arithmetic as arithmetic
    from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

    def masked(integers: NDArray[np.int64], seeds: list[bytes]) -> object:
        parameters = [integers]
        for place, seed in enumerate(seeds):
            mask = pseudo_rand_gen(seed, MODULUS, [integers.shape])
            change = arithmetic.parameters_addition if place < 6 else arithmetic.parameters_subtraction
            parameters = change(parameters, mask)
        return arithmetic.parameters_mod(parameters, MODULUS)

    return f"Flower {version} SecAgg+", masked


def _recreated(integers: NDArray[np.int64], seeds: list[bytes]) -> object:
    total = integers
    for place, seed in enumerate(seeds):
        folded = int(np.bitwise_xor.reduce(np.frombuffer(seed, "<u4")))
        mask = np.random.RandomState(folded).randint(0, MODULUS - 1, integers.shape, dtype=np.int64)
        total = total + mask if place < 6 else total - mask
    return total & (MODULUS - 1)


# ---- whole rounds -------------------------------------------------------------------------------------


def _unmasking(values: int) -> Row:
    """The server's `total` after four of ten dropped out between sharing and uploading."""
    server = _round(10, 6, values, lost=4)[0]

    def unmask() -> object:
        server._aggregate = None
        return server.total()

    (seconds,) = alternate(unmask, repeats=5, clock=time.process_time)
    return Row(f"server unmasking, 4 of 10 dropped, {values:,} values", seconds, goal=at_most(0.2, "s"))


def _many(*crowds: int) -> Iterator[Row]:
    """Whole rounds on the ring with 5 % dropouts; seconds of the median client and of the server for each client."""
    for clients in crowds:
        server, client_seconds, server_seconds = _round(
            clients, clients - clients // 20, 100_000, clients // 20
        )
        sizes = server._graph.sizes
        about = f"{sizes.degree} neighbours, with each four Ed25519 operations and two X25519 ones of pycryptodome's"
        yield Row(f"{clients} clients, 100,000 values, 5 % dropouts: a client", client_seconds, note=about)
        yield Row(f"{clients} clients, ...: the server, for each client", server_seconds / clients)


def _round(clients: int, threshold: int, values: int, lost: int) -> tuple[MaskingServer, float, float]:
    """Run one round, check the sum; seconds of the median client that stays to the end, and of the server."""
    identities = {f"hospital {number:04}": Identity.generate() for number in range(clients)}
    keys = {name: identity.recipient for name, identity in identities.items()}
    own = Identity.generate()
    plan = Plan(
        clients=clients, threshold=threshold, clip=1.0, bits=16, shapes={"w": (values,)},
        parties={**keys, "server": own.recipient},
    )  # fmt: skip
    server = MaskingServer(plan, own)
    parties = {name: MaskingClient(plan, name, identity) for name, identity in identities.items()}
    update = {"w": np.linspace(-1, 1, values)}
    spent: dict[str, float] = dict.fromkeys(["server", *parties], 0.0)

    def timed(who: str, call: Callable[..., object], *arguments: object) -> object:
        start = time.process_time()
        result = call(*arguments)
        spent[who] += time.process_time() - start
        return result

    messages = [timed(name, client.advertise) for name, client in parties.items()]
    for step in STEPS:
        for message in messages:
            timed("server", server.receive, message)
        answers = timed("server", server.close)
        present = list(answers)[lost if step == "upload" else 0 :]  # type: ignore[call-overload]
        more = (update,) if step == "upload" else ()
        messages = [timed(name, getattr(parties[name], step), answers[name], *more) for name in present]  # type: ignore[index]
    for message in messages:
        timed("server", server.receive, message)
    aggregate = timed("server", server.total)
    expected = add_integers(plan, [quantise(plan, update)]) * (clients - lost)
    if not np.array_equal(aggregate.integers, expected):  # type: ignore[attr-defined]
        raise RuntimeError("the sum is wrong")
    stayed = [seconds for name, seconds in spent.items() if name in aggregate.contributors]  # type: ignore[attr-defined]
    return server, statistics.median(stayed), spent["server"]
