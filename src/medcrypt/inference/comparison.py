"""Exact comparisons of shared numbers, by function secret sharing with masked inputs (Boyle et al. 2021).

All begin with one opening of c = x + r modulo 2^n, r being the dealer's; the keys depend on r alone. With hi the bit
n-1 of a number, lo the rest, and [.] one for true::

    sign       [x < 0] = hi(c) xor hi(r) xor [lo(c) < lo(r)]                    one comparison of n-1 bits
    division   floor(x' / 2^f) = (c' >> f) - (r >> f)
                                 - [low_f(c') < low_f(r)] + 2^(n-f) wrap        one comparison of f bits
               x' = x + an offset that makes it positive, c' = c + the offset
               wrap = [x' + r >= 2^n] = hi(r)(1 - hi(c')) where x' < 2^(n-1),   none
               and [c' < r] in general                                          one comparison of n bits
    zero       [x = 0] = [c = r]                                                one point function

Nothing is approximate: each equation holds for all x, r of its range. `docs/explanation/inference.md` has the proofs.
"""

from dataclasses import dataclass

import numpy as np

from medcrypt._ext.dcf import SharedFunction
from medcrypt.inference.sharing import Dealer, Exchange, Layout, Material, Server, Words, dealt, exchange

__all__ = ["Division", "Mask", "Negative", "Zero"]

_ONE = np.uint64(1)


def _kept(bits: int) -> np.uint64:
    """Return 2^bits - 1."""
    return np.uint64((1 << bits) - 1)


def _bit(numbers: Words, place: int) -> Words:
    """Return one bit of each number."""
    return numbers >> np.uint64(place) & _ONE


def _evaluated(server: Server, kind: str, bits: int, payload: int, x: Words, key: Material) -> Words:
    """Return this server's shares of a batch of shared functions at public points."""
    values = np.empty(x.size, np.uint64)
    shared = SharedFunction(kind, bits, payload, server.hash_key)
    shared.evaluate(server.party, key["key"], np.ascontiguousarray(x), values)
    return values


def _key_size(kind: str, bits: int, payload: int, count: int) -> int:
    """Return the bytes of one server's keys."""
    return SharedFunction(kind, bits, payload, bytes(16)).key_size(count)


@dataclass(frozen=True)
class Mask:
    """The opening of x + r modulo 2^bits: one round.

    Parameters
    ----------
    bits : int
        n, 1 to 64. Shares modulo any larger power of two will do.
    """

    bits: int
    rounds = 1

    @property
    def dtype(self) -> str:
        """The smallest words that hold n bits."""
        return next(f"<u{size}" for size in (1, 2, 4, 8) if 8 * size >= self.bits)

    def layout(self, count: int) -> Layout:
        """Return what is dealt."""
        return {"mask": (self.dtype, (count,))}

    def sent(self, count: int) -> int:
        """Return the bytes that a server sends."""
        return int(self.dtype[-1]) * count

    def deal(self, dealer: Dealer, count: int) -> tuple[Words, Material, Material]:
        """Return r, and both servers' shares of it."""
        r = dealer.random.words((count,)) & _kept(self.bits)
        first, second = dealer.share(r)
        return r, {"mask": first & _kept(self.bits)}, {"mask": second & _kept(self.bits)}

    def run(self, x: Words, material: Material) -> Exchange[Words]:
        """Return the opened c = x + r modulo 2^bits; x has shape (count,)."""
        mine = (x + material["mask"].astype(np.uint64)) & _kept(self.bits)
        (theirs,) = yield from exchange(mine.astype(self.dtype))
        return (mine + theirs.astype(np.uint64)) & _kept(self.bits)


@dataclass(frozen=True)
class Negative:
    """[x < 0] for -2^(bits-1) <= x < 2^(bits-1), after an opening with `Mask(bits)`.

    The comparison's beta is 1 - 2 hi(r), so that with the dealt share of hi(r) the sum is
    u = hi(r) xor [lo(c) < lo(r)], and hi(c) xor u = hi(c) + u - 2 hi(c) u.

    Parameters
    ----------
    bits : int
        n, 2 to 64.
    payload : {4, 8}
        Bytes of the group that the answer is shared in.
    """

    bits: int
    payload: int = 4

    def layout(self, count: int) -> Layout:
        """Return what is dealt."""
        size = _key_size("comparison", self.bits - 1, self.payload, count)
        return {"high": (f"<u{self.payload}", (count,)), "key": ("|u1", (size,))}

    def deal(self, dealer: Dealer, r: Words) -> tuple[Material, Material]:
        """Make both servers' material for inputs under the masks r."""
        high = _bit(r, self.bits - 1)
        keys = dealer.functions(
            "comparison", self.bits - 1, self.payload, r & _kept(self.bits - 1), 1 - 2 * high
        )
        first, second = (half & _kept(8 * self.payload) for half in dealer.share(high))
        return dealt({"high": (first, second), "key": keys})

    def evaluate(self, server: Server, opened: Words, material: Material) -> Words:
        """Return shares of the bits modulo 2^(8 payload); their lowest bits are shares by xor."""
        high = _bit(opened, self.bits - 1)
        below = _evaluated(server, "comparison", self.bits - 1, self.payload, opened, material)
        u = below + material["high"].astype(np.uint64)
        mine = u - 2 * high * u
        return mine + high if server.party == 0 else mine


@dataclass(frozen=True)
class Division:
    """floor((x + half) / 2^shift) in shares modulo 2^64, after an opening with `Mask(bits)`.

    Parameters
    ----------
    bits : int
        n, up to 64.
    shift : int
        f, 1 to n - 3.
    nearest : bool
        Whether half is 2^(shift-1), which rounds to the nearest integer, ties upwards; else 0.
    spare : bool
        Whether |x| < 2^(n-3) is known: then the wrap costs no comparison. Otherwise any x of n bits will do,
        except that x + half must not pass 2^(n-1) - 1.
    """

    bits: int
    shift: int
    nearest: bool = True
    spare: bool = True

    @property
    def offset(self) -> int:
        """What makes x positive: 2^(n-2) where there is room to spare, else 2^(n-1)."""
        return 1 << (self.bits - 2 if self.spare else self.bits - 1)

    def layout(self, count: int) -> Layout:
        """Return what is dealt."""
        layout: Layout = {
            "quotient": ("<u8", (count,)),
            "low.key": ("|u1", (_key_size("comparison", self.shift, 8, count),)),
        }
        if self.spare:
            layout["high"] = ("<u8", (count,))
        else:
            layout["wrap.key"] = ("|u1", (_key_size("comparison", self.bits, 8, count),))
        return layout

    def deal(self, dealer: Dealer, r: Words) -> tuple[Material, Material]:
        """Make both servers' material for inputs under the masks r."""
        ones = np.ones_like(r)
        parts = {
            "quotient": dealer.share(r >> np.uint64(self.shift)),
            "low.key": dealer.functions("comparison", self.shift, 8, r & _kept(self.shift), 0 - ones),
        }
        unit = np.uint64(1 << self.bits - self.shift)
        if self.spare:
            parts["high"] = dealer.share(_bit(r, self.bits - 1) * unit)
        else:
            parts["wrap.key"] = dealer.functions("comparison", self.bits, 8, r, ones * unit)
        return dealt(parts)

    def evaluate(self, server: Server, opened: Words, material: Material) -> Words:
        """Return shares of the quotients."""
        half = 1 << self.shift - 1 if self.nearest else 0
        shifted = opened + np.uint64((self.offset + half) % 2**64) & _kept(self.bits)
        mine = _evaluated(server, "comparison", self.shift, 8, shifted, {"key": material["low.key"]})
        mine -= material["quotient"]
        if self.spare:
            mine += material["high"] * (1 - _bit(shifted, self.bits - 1))
        else:
            mine += _evaluated(server, "comparison", self.bits, 8, shifted, {"key": material["wrap.key"]})
        if server.party == 0:
            mine += (shifted >> np.uint64(self.shift)) - np.uint64(self.offset >> self.shift)
        return mine


@dataclass(frozen=True)
class Zero:
    """[x = 0] modulo 2^bits, after an opening with `Mask(bits)`.

    Parameters
    ----------
    bits : int
        n, 1 to 64.
    """

    bits: int

    def layout(self, count: int) -> Layout:
        """Return what is dealt."""
        return {"key": ("|u1", (_key_size("point", self.bits, 8, count),))}

    def deal(self, dealer: Dealer, r: Words) -> tuple[Material, Material]:
        """Make both servers' material for inputs under the masks r."""
        return dealt({"key": dealer.functions("point", self.bits, 8, r, np.ones_like(r))})

    def evaluate(self, server: Server, opened: Words, material: Material) -> Words:
        """Return shares of the bits modulo 2^64."""
        return _evaluated(server, "point", self.bits, 8, opened, material)
