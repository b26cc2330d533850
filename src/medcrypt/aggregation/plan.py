"""The plan of one round: everything that the parties agree on beforehand, and the hash that stands for it.

A plan has one canonical encoding (`docs/formats/aggregation.md`) and its SHA-256, the plan hash, goes into every
message: parties whose plans differ in anything refuse each other's messages. The plan pins the Ed25519 key
of every party, so that nobody else, the server least of all, can speak for one, and the key that uploads are encrypted
under, or that there is none: so a plan is for one back-end and one key, and what is opened once is opened once.
"""

import dataclasses
import functools
import hashlib
import math
import operator
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.keys import Recipient
from medcrypt.keys.identity import check_verifying_key
from medcrypt.paillier import PublicKey, ThresholdPublicKey

__all__ = ["NoisePlan", "Plan", "PrivacyBound"]

_MAGIC, _VERSION = b"MCPL", 1
_DOMAIN = b"medcrypt/aggregation/plan/v1\x00"
MAX_CLIENTS = 1 << 20
MAX_NAME_BYTES = 255
MAX_DIMENSION = 1 << 32  # values of one update
_MAX_MODULUS_BITS = 62  # so that a slot of any packing has at most 63 bits, and sums fit int64
_MIN_CLIP, _MAX_CLIP = 1e-100, 1e100  # as `paillier.Packing`

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PrivacyBound:
    """What one or more rounds of a plan cost.

    Parameters
    ----------
    epsilon, delta
        Every round is (epsilon, delta)-private together with the others.
    unit
        Whose presence is hidden: "hospital" or "patient".
    rounds
        How many rounds are counted.
    kind
        What the number is: an upper bound by Rényi divergences, not the exact cost.
    """

    epsilon: float
    delta: float
    unit: str
    rounds: int = 1
    kind: str = "upper bound (Rényi)"


class NoisePlan(Protocol):
    """What a plan has to know about the noise that its clients add; see `Plan.noise`.

    Implementations are frozen dataclasses: equal exactly when `to_bytes` is equal.
    """

    def to_bytes(self) -> bytes:
        """Return a canonical encoding of every parameter; it becomes part of the plan hash."""
        ...

    def dimension(self, plan: "Plan") -> int:
        """Return the number of integers that stand for the arrays, which a rotation pads."""
        ...

    def headroom(self, plan: "Plan") -> int:
        """Return the bits by which noise widens a client's values, and with them the modulus."""
        ...

    def contribution(self, plan: "Plan", reals: Reals, weight: int) -> Integers:
        """Return one client's integers with its share of the noise, before they are encrypted or masked."""
        ...

    def restore(self, plan: "Plan", reals: Reals) -> Reals:
        """Return the values of the arrays from what stands for them in a sum."""
        ...

    def privacy(self, plan: "Plan", delta: float, rounds: int) -> PrivacyBound:
        """Return what rounds of the plan cost."""
        ...


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Plan:
    """One round of secure aggregation: who adds up what, how precisely, and who may see the sum.

    Parameters
    ----------
    clients
        How many clients there are: 2 to 2^20.
    threshold
        Fewest contributors whose sum is ever opened: 2 to `clients`. The others may drop out.
    clip
        Coordinate range: values lie in [-clip, clip].
    bits
        Bits of one quantised value, 2 to 53. One step is clip / (2^(bits-1) - 1).
    shapes
        Name and shape of every array of an update. Their order does not matter.
    weighted
        Compute sum(w x) / sum(w) with private integer weights w: clients send [w, w x].
    max_weight
        Largest weight of a client; required where `weighted`, else 1.
    l2_clip
        Bound on the L2 norm of one client's whole contribution w x, rounding included, in the unit of the
        data: larger ones are scaled down. None bounds nothing. Noise needs it, as its sensitivity.
    noise
        The noise that clients add before they encrypt or mask; None adds none.
    round_id
        Number of the round. A federation uses each number once.
    parties
        Name and verification key (`Recipient` or its 32-byte Ed25519 key) of every party: the clients, and
        the `server` and `holders` where these sign. A party has one role; an institution with two appears under
        two names. None for a federation whose transport vouches for every sender: then nothing is signed, and
        key holders, who rely on signatures, refuse to work.
    server, holders
        Which of the `parties` are the server and the key holders; the rest are clients. Holders are sorted by the bytes
        of their names, and the i-th of them holds share number i of a threshold key, or there is one, who holds
        the whole key.
    colluders
        How many clients may collude with a server that breaks the protocol. Then 2 `threshold` must exceed `clients`
        + `colluders`, so that no two sums of different clients can both be opened. None: the server is trusted
        to follow the protocol (though not to look away), as far as the masking back-end is concerned. The
        holders of the homomorphic one never trust it.
    proofs
        Every Paillier upload carries a proof that its sender knows what is in it. Without, a client who sees
        the others' uploads, because it colludes with the server, can upload the encrypted negative of some of them,
        and the sum tells the rest; or upload one of them in another round, of fewer clients. The masking back-end has
        no use for it.
    key
        The key that uploads are encrypted under, or its 32 bytes in the plan: `PublicKey.fingerprint`, and for a
        threshold key `ThresholdPublicKey.threshold_fingerprint`, which also says how it is shared. Where parties are
        pinned, the homomorphic back-end needs it and the masking back-end needs None: or else what a plan lets be
        opened once could be opened once under each key and by each back-end.

    Raises
    ------
    TypeError
        If a field has the wrong type.
    ValueError
        If a field is out of range, or fields contradict each other.
    InvalidKeyError
        If a verification key is no point of the curve or has small order.

    Examples
    --------
    >>> plan = Plan(clients=10, threshold=6, clip=8.0, bits=24, shapes={"w": (64, 10), "b": (10,)},
    ...             weighted=True, max_weight=10_000)
    >>> plan
    Plan(clients=10, threshold=6, dimension=651, modulus_bits=41, round_id=0, digest='...')
    >>> plan == plan.for_round(0), plan == plan.for_round(1)
    (True, False)
    """

    clients: int
    threshold: int
    clip: float
    bits: int
    shapes: Mapping[str, tuple[int, ...]]
    weighted: bool = False
    max_weight: int | None = None
    l2_clip: float | None = None
    noise: NoisePlan | None = None
    round_id: int = 0
    parties: Mapping[str, Recipient | bytes] | None = None
    server: str = "server"
    holders: Sequence[str] = ()
    colluders: int | None = None
    proofs: bool = True
    key: PublicKey | bytes | None = None

    def __post_init__(self) -> None:
        for name, value in self._coerced().items():
            object.__setattr__(self, name, value)
        self._check_people()
        self._check_numbers()

    def _coerced(self) -> dict[str, Any]:
        """Return every field in its one canonical type."""
        integers = ("clients", "threshold", "bits", "round_id")
        fields: dict[str, Any] = {name: _integer(getattr(self, name), name) for name in integers}
        for name in ("max_weight", "colluders"):
            value = getattr(self, name)
            fields[name] = None if value is None else _integer(value, name)
        fields["clip"] = _real(self.clip, "clip")
        fields["l2_clip"] = None if self.l2_clip is None else _real(self.l2_clip, "l2_clip")
        for name in ("weighted", "proofs"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be a boolean")
            fields[name] = bool(getattr(self, name))
        if not fields["weighted"] and fields["max_weight"] is None:
            fields["max_weight"] = 1
        fields["shapes"] = MappingProxyType(_shapes(self.shapes))
        fields["parties"] = None if self.parties is None else MappingProxyType(_keys(self.parties))
        fields["server"] = check_name(self.server, "the server's name")
        fields["holders"] = _holders(self.holders)
        fields["key"] = None if self.key is None else key_fingerprint(self.key)
        return fields

    def _check_people(self) -> None:
        """Refuse numbers of clients, and roles, that contradict each other."""
        if not 2 <= self.clients <= MAX_CLIENTS:
            raise ValueError(f"clients must be between 2 and {MAX_CLIENTS}")
        if not 2 <= self.threshold <= self.clients:
            raise ValueError("threshold must be between 2 and clients: a single upload is never opened")
        if self.colluders is not None:
            if not 0 <= self.colluders <= self.clients - 2:
                raise ValueError("colluders must leave two honest clients")
            if 2 * self.threshold <= self.clients + self.colluders:
                raise ValueError(
                    "against a server that breaks the protocol, 2 threshold must exceed clients + colluders"
                )
        if self.parties is None:
            if self.holders:
                raise ValueError("holders must be among the parties")
            return
        if missing := [name for name in self.holders if name not in self.parties]:
            raise ValueError(f"holders without a verification key: {', '.join(missing)}")
        if self.server in self.holders:
            raise ValueError("the server cannot be a key holder")
        names = self.client_names
        if len(names) != self.clients:
            raise ValueError(f"{self.clients} clients, but {len(names)} of the parties are clients")
        if len({self.parties[name] for name in names}) != len(names):
            raise ValueError("two clients have the same verification key: one institution would count twice")

    def _check_numbers(self) -> None:
        """Refuse ranges that do not fit the arithmetic."""
        if not _MIN_CLIP <= self.clip <= _MAX_CLIP:
            raise ValueError(f"clip must be between {_MIN_CLIP} and {_MAX_CLIP}")
        if not 2 <= self.bits <= 53:
            raise ValueError("bits must be between 2 and 53")
        if self.max_weight is None:
            raise ValueError("weights need a bound: max_weight")
        if not self.weighted and self.max_weight != 1:
            raise ValueError("max_weight is for weighted sums")
        if not 1 <= self.max_weight < 1 << 53:
            raise ValueError("max_weight must be between 1 and 2^53 - 1")
        if self.l2_clip is not None and not _MIN_CLIP <= self.l2_clip <= _MAX_CLIP:
            raise ValueError(f"l2_clip must be between {_MIN_CLIP} and {_MAX_CLIP}")
        if self.noise is not None and self.l2_clip is None:
            raise ValueError("noise needs l2_clip: without it nothing bounds what one client can change")
        if not 0 <= self.round_id < 1 << 64:
            raise ValueError("round_id must be between 0 and 2^64 - 1")
        if not 1 <= self.size <= MAX_DIMENSION:
            raise ValueError(f"an update has between 1 and {MAX_DIMENSION} values")
        if self.modulus_bits > _MAX_MODULUS_BITS:
            raise ValueError(
                f"bits + ceil(log2(clients max_weight)) + the headroom for noise is {self.modulus_bits}; "
                f"it must not exceed {_MAX_MODULUS_BITS}"
            )

    @functools.cached_property
    def size(self) -> int:
        """Number of values of one update."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def dimension(self) -> int:
        """Number of integers that are added up: `size`, padded by a rotation, and one more for the weight."""
        return (self.size if self.noise is None else self.noise.dimension(self)) + self.weighted

    @property
    def levels(self) -> int:
        """Q, the integer that `clip` becomes: 2^(bits-1) - 1."""
        return (1 << (self.bits - 1)) - 1

    @property
    def step(self) -> float:
        """What one integer step is worth: clip / Q."""
        return self.clip / self.levels

    @property
    def weight_bound(self) -> int:
        """The sum of all clients' largest weights."""
        return self.clients * (self.max_weight or 1)

    @functools.cached_property
    def headroom(self) -> int:
        """Bits by which noise widens the modulus; 0 without noise."""
        return 0 if self.noise is None else self.noise.headroom(self)

    @property
    def value_bits(self) -> int:
        """Bits of what one client contributes to one coordinate, sign included."""
        return self.bits + ((self.max_weight or 1) - 1).bit_length() + self.headroom

    @property
    def modulus_bits(self) -> int:
        """B: all sums are exact modulo 2^B, B = bits + ceil(log2(weight_bound)) + headroom.

        Without noise no sum reaches beyond half the modulus: |sum w q| <= weight_bound Q < 2^(B-1).
        """
        return self.bits + (self.weight_bound - 1).bit_length() + self.headroom

    @property
    def quantisation_bound(self) -> float:
        """How far a coordinate of the mean can be from the mean of the clients' clipped float64 values.

        Half a step for rounding to the nearest one (a whole step where `l2_clip` had to scale, which rounds
        towards zero), and clip 2^-50 for the few float64 operations before and after.
        """
        return self.step * (0.5 if self.l2_clip is None else 1.0) + math.ldexp(self.clip, -50)

    @functools.cached_property
    def client_names(self) -> tuple[str, ...]:
        """Names of the clients in ascending order of their UTF-8 bytes; empty where no party is pinned."""
        others = {self.server, *self.holders}
        return tuple(name for name in self.parties or () if name not in others)

    def verifying_key(self, name: str) -> bytes | None:
        """Return the pinned Ed25519 key of a party; None if it has none.

        Parameters
        ----------
        name
            The party.

        Returns
        -------
        bytes or None
            32 bytes.

        Examples
        --------
        >>> Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)}).verifying_key("anybody") is None
        True
        """
        key = (self.parties or {}).get(name)
        return key.verifying_key if isinstance(key, Recipient) else key

    def privacy(self, delta: float, rounds: int = 1) -> PrivacyBound:
        """Bound what rounds of this plan cost, for a unit whose contribution is replaced by nothing.

        Parameters
        ----------
        delta
            Above the probability of overflows, about rounds (1 + e^epsilon) 2^-40, which is a part of it.
        rounds
            How many rounds with equal plans (but for `round_id`) are opened.

        Returns
        -------
        PrivacyBound
            An upper bound by Rényi divergences; it says so.

        Raises
        ------
        ValueError
            If the plan has no noise, or an argument is out of range.

        Examples
        --------
        >>> from medcrypt import aggregation
        >>> plan = Plan(clients=10, threshold=8, clip=1.0, bits=16, shapes={"w": (500,)}, l2_clip=1.0,
        ...             noise=aggregation.SkellamNoise(noise_multiplier=5.0, unit="hospital"))
        >>> plan.privacy(delta=1e-6, rounds=2).kind
        'upper bound (Rényi)'
        """
        if self.noise is None:
            raise ValueError("the plan has no noise: nothing bounds what its sums reveal")
        if _integer(rounds, "rounds") < 1:
            raise ValueError("rounds must be at least 1")
        return self.noise.privacy(self, delta, rounds)

    def for_round(self, round_id: int) -> "Plan":
        """Return the same plan for another round.

        Parameters
        ----------
        round_id
            Number of the round.

        Returns
        -------
        Plan
            Equal to this one in everything else.

        Examples
        --------
        >>> Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)}).for_round(7).round_id
        7
        """
        return dataclasses.replace(self, round_id=round_id)

    def to_bytes(self) -> bytes:
        r"""Return the canonical encoding: equal plans, and only they, have equal bytes.

        Returns
        -------
        bytes
            As `docs/formats/aggregation.md` specifies.

        Examples
        --------
        >>> Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)}).to_bytes()[:5]
        b'MCPL\x01'
        """
        return self._encoding

    @functools.cached_property
    def _encoding(self) -> bytes:
        parts = [
            struct.pack(">4sBIIdB?Q", _MAGIC, _VERSION, *self._leading()),
            _optional(">d", self.l2_clip),
            _optional(">I", self.colluders),
            struct.pack(">Q?", self.round_id, self.proofs),
            struct.pack(">I", len(self.shapes)),
            *(_encode_shape(name, shape) for name, shape in self.shapes.items()),
            _encode_noise(self.noise),
            _encode_name(self.server),
            struct.pack(">I", len(self.holders)),
            *map(_encode_name, self.holders),
            b"\x00" if self.key is None else b"\x01" + key_fingerprint(self.key),
            _optional(">I", None if self.parties is None else len(self.parties)),
            *(_encode_name(name) + (self.verifying_key(name) or b"") for name in self.parties or ()),
        ]
        return b"".join(parts)

    def _leading(self) -> tuple[Any, ...]:
        return self.clients, self.threshold, self.clip, self.bits, self.weighted, self.max_weight

    @functools.cached_property
    def digest(self) -> bytes:
        """The plan hash: SHA-256 of a domain string and `to_bytes()`, 32 bytes."""
        return hashlib.sha256(_DOMAIN + self._encoding).digest()

    def __eq__(self, other: object) -> bool:
        return self._encoding == other._encoding if isinstance(other, Plan) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return (
            f"Plan(clients={self.clients}, threshold={self.threshold}, dimension={self.dimension}, "
            f"modulus_bits={self.modulus_bits}, round_id={self.round_id}, digest='{self.digest[:8].hex()}')"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["shapes"] = dict(self.shapes)
        values["parties"] = None if self.parties is None else dict(self.parties)
        return _rebuild, (values,)


def check_name(name: object, what: str) -> str:
    """Return a name of 1 to 255 bytes of UTF-8, or say what is wrong with it."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a string, not {type(name).__name__}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not encodable") from None
    if not 1 <= len(encoded) <= MAX_NAME_BYTES:
        raise ValueError(f"{what} must have between 1 and {MAX_NAME_BYTES} bytes")
    return name


def key_fingerprint(key: object) -> bytes:
    """Return the 32 bytes that stand for an encryption key in a plan: how a threshold key is shared included."""
    if isinstance(key, ThresholdPublicKey):
        return key.threshold_fingerprint
    if isinstance(key, PublicKey):
        return key.fingerprint
    if not isinstance(key, (bytes, bytearray, memoryview)):
        raise TypeError(f"key must be a PublicKey or its fingerprint, not {type(key).__name__}")
    fingerprint = bytes(key)
    if len(fingerprint) != 32:
        raise ValueError("key must have 32 bytes: the fingerprint of the encryption key")
    return fingerprint


def _integer(value: SupportsIndex, name: str) -> int:
    """Take any integer type, numpy's included, but no booleans and no floats."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, not a boolean")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None


def _real(value: object, name: str) -> float:
    """Take any real number that is finite."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite")
    return number


def _shapes(shapes: object) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every array, sorted by the bytes of the name."""
    if not isinstance(shapes, Mapping):
        raise TypeError("shapes must map names to shapes")
    checked = {}
    for name, shape in shapes.items():
        check_name(name, "an array's name")
        if not isinstance(shape, Iterable) or isinstance(shape, (str, bytes)):
            raise TypeError(f"the shape of {name!r} must be a tuple of integers")
        sides = tuple(_integer(side, f"a side of {name!r}") for side in shape)
        if len(sides) > 32 or any(side < 0 for side in sides):
            raise ValueError(f"the shape of {name!r} must have at most 32 sides, none negative")
        checked[name] = sides
    return dict(sorted(checked.items(), key=lambda item: item[0].encode()))


def _keys(parties: object) -> dict[str, bytes]:
    """Return name and verification key of every party, sorted by the bytes of the name."""
    if not isinstance(parties, Mapping):
        raise TypeError("parties must map names to verification keys")
    checked = {}
    for name, key in parties.items():
        check_name(name, "a party's name")
        checked[name] = key.verifying_key if isinstance(key, Recipient) else _checked_key(key, name)
    return dict(sorted(checked.items(), key=lambda item: item[0].encode()))


def _checked_key(key: object, name: str) -> bytes:
    """Refuse what is no Ed25519 public key."""
    if not isinstance(key, (bytes, bytearray, memoryview)):
        raise TypeError(f"the key of {name!r} must be a Recipient or 32 bytes")
    if len(key) != 32:
        raise ValueError(f"the key of {name!r} must have 32 bytes")
    encoded = bytes(key)
    _check_once(encoded)
    return encoded


@functools.lru_cache(maxsize=4096)
def _check_once(key: bytes) -> None:
    """Check a key; the plans of a thousand rounds pin the same ones."""
    check_verifying_key(key)


def _holders(holders: object) -> tuple[str, ...]:
    """Return the holders' names, sorted by their bytes."""
    if not isinstance(holders, Iterable) or isinstance(holders, (str, bytes)):
        raise TypeError("holders must be a sequence of names")
    names = [check_name(name, "a holder's name") for name in holders]
    if len(set(names)) != len(names):
        raise ValueError("a holder is named twice")
    return tuple(sorted(names, key=str.encode))


def _encode_name(name: str) -> bytes:
    encoded = name.encode()
    return bytes([len(encoded)]) + encoded


def _encode_shape(name: str, shape: tuple[int, ...]) -> bytes:
    return _encode_name(name) + struct.pack(f">B{len(shape)}Q", len(shape), *shape)


def _encode_noise(noise: NoisePlan | None) -> bytes:
    encoded = b"" if noise is None else noise.to_bytes()
    return struct.pack(">?I", noise is not None, len(encoded)) + encoded


def _optional(layout: str, value: float | None) -> bytes:
    """Encode a value that may be missing: 0, or 1 and the value."""
    return b"\x00" if value is None else b"\x01" + struct.pack(layout, value)


def _rebuild(values: dict[str, Any]) -> Plan:
    """Unpickle a plan, checking it again."""
    return Plan(**values)
