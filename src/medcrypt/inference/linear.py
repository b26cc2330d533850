"""Linear and logistic models on encrypted features: a client, a server, Paillier, and nobody else.

The client packs D features into one plaintext, the server raises the ciphertext to a packed row of weights::

    P = sum of x_j 2^(j t)        Q = sum of u_j 2^((D-1-j) t)        Enc(P)^Q = Enc(P Q)

The coefficient of 2^((D-1) t) in P Q is the sum of u_j x_j: the output. The others are sums
that the client must not see. Products of all ciphertexts of a row add up their outputs in
the same place. Then the server::

    adds the bias, and a random number to everything below and above the output's bits, at least 2^64 times as wide as
        what stands there: even one output a ciphertext, and features that were never packed, leave no other bit bare;
    multiplies by rho^n with rho uniform, so that the ciphertext tells nothing about how it came about.

Weights are shifted to be positive, u = w + 2^(weight_bits-1) - 1, so that the powers are computed in a time that
depends on nothing secret; the client, who knows the sum of its features, takes the shift back out of the result.

**What an answer reveals.** The scores, one for each output. d + 1 of them, for features of the client's choice,
are a system of equations with the model as its solution, whatever the encryption. Fewer will do: features of one
step and of the clip put two weights into the bits of one score. No count of equations protects a model, only one of
bits: an answer within the form tells `output_bits` about the weights of an output, which have features * weight_bits.
By default `LinearServer` counts up to one row fewer than could tell them all. That still leaves much of the model
in the answers, and assumes nothing about what is known of it already; and it holds for clients that keep to the form:
one that encrypts other numbers than features can move the blinds aside and read more, up to the model after one
query or a few. So a server answers only clients that it knows and trusts to that extent. The server sees how many
rows a query has, and nothing of the features, whoever it is: Paillier under the client's key hides them.
"""

import contextlib
import hashlib
import json
import math
import operator
import os
import secrets
import struct
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from medcrypt.durable import locked, new_file
from medcrypt.errors import BudgetError, CapacityError, FormatError, InvalidCiphertextError, ProtocolError
from medcrypt.paillier.arithmetic import Residues
from medcrypt.paillier.keys import PrivateKey, PublicKey
from medcrypt.paillier.multiexponentiation import products_by_key
from medcrypt.paillier.packing import Packing

__all__ = ["Form", "LinearClient", "LinearServer"]

_BLIND_BITS = 64
_QUERY, _ANSWER, _VERSION = b"MCLQ", b"MCLA", 1
_HEADER = struct.Struct(">4sB32s32s16sI")  # magic, version, form, key fingerprint, query, rows
_DOMAIN = b"medcrypt/inference/linear/v1\x00"
_LANES = 8  # ciphertexts that the widest kernel handles at the price of one
_MAX_ROWS = 1 << 16


@dataclass(frozen=True)
class Form:
    """What both sides know of a linear model: sizes and scales, no weights.

    Parameters
    ----------
    features, outputs : int
        Of the weight matrix.
    clip : float
        Features are within [-clip, clip].
    bits : int
        Precision of a feature: one step is clip / (2^(bits-1) - 1).
    weight_clip : float
        Weights are within [-weight_clip, weight_clip], biases within features * clip * weight_clip.
    weight_bits : int
        Precision of a weight, likewise.
    per_ciphertext : int or None
        Features in one ciphertext. None spreads them over 8, which the widest kernel handles at the price of one, or
        packs closer where there are many. The largest that fits makes the shortest query.

    Raises
    ------
    ValueError
        A field is out of range.

    Examples
    --------
    >>> form = Form(features=30)
    >>> form.layout(3072)
    (4, 8)
    >>> Form(features=30, per_ciphertext=13).layout(3072)  # thirteen to a ciphertext: three of them
    (13, 3)
    """

    features: int
    outputs: int = 1
    clip: float = 8.0
    bits: int = 16
    weight_clip: float = 8.0
    weight_bits: int = 16
    per_ciphertext: int | None = None

    def __post_init__(self) -> None:
        for name in ("features", "outputs", "bits", "weight_bits"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        for name in ("clip", "weight_clip"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (1 <= self.features <= 1 << 20 and 1 <= self.outputs <= 1 << 16):
            raise ValueError("a model has 1 to 2^20 features and 1 to 2^16 outputs")
        if not (2 <= self.bits <= 32 and 2 <= self.weight_bits <= 32):
            raise ValueError("bits and weight_bits must be between 2 and 32")
        if self.per_ciphertext is not None and not 1 <= operator.index(self.per_ciphertext) <= self.features:
            raise ValueError("a ciphertext holds at least one feature, and at most all of them")
        self.feature_packing, self.weight_packing  # noqa: B018 - they check the clips

    @property
    def feature_packing(self) -> Packing:
        """How features are rounded."""
        return Packing(clip=self.clip, bits=self.bits, max_terms=1)

    @property
    def weight_packing(self) -> Packing:
        """How weights are rounded."""
        return Packing(clip=self.weight_clip, bits=self.weight_bits, max_terms=1)

    @property
    def step(self) -> float:
        """What one unit of an integer score stands for."""
        features, weights = self.feature_packing, self.weight_packing
        return (features.clip / features.levels) * (weights.clip / weights.levels)

    @property
    def largest(self) -> int:
        """A bound on the magnitude of an output, weights shifted, and bias included."""
        return 3 * self.features * self.feature_packing.levels * self.weight_packing.levels

    @property
    def output_bits(self) -> int:
        """Bits of an output, made positive: those that the client sees."""
        return (2 * self.largest).bit_length()

    @property
    def slot_bits(self) -> int:
        """t: an output, and room for a blind below the next one."""
        return self.output_bits + _BLIND_BITS + 2

    @property
    def limit(self) -> int:
        """Most rows whose scores, `output_bits` each, are fewer bits than an output's weights; at least one.

        A count of information, not a proof that less is of no use: each answer tells something about the model.
        """
        return max(1, self.features * self.weight_bits // self.output_bits - 1)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the form, 32 bytes: queries and answers carry it."""
        return hashlib.sha256(_DOMAIN + self.to_bytes()).digest()

    def layout(self, key_bits: int) -> tuple[int, int]:
        """Return how many features one ciphertext holds, and how many ciphertexts one row takes.

        Raises
        ------
        CapacityError
            The key is too short.
        """
        most = ((key_bits - 2) // self.slot_bits + 1) // 2
        packed = self.per_ciphertext or min(most, -(-self.features // _LANES))
        if not 1 <= packed <= most:
            raise CapacityError(f"a key of {key_bits} bits has room for {most} features in a ciphertext")
        return packed, -(-self.features // packed)

    def to_bytes(self) -> bytes:
        """Return the form as canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        FormatError
            It is something else.
        """
        try:
            form = cls(**json.loads(data))
        except (TypeError, ValueError, RecursionError) as error:
            raise FormatError("not the form of a linear model") from error
        if form.to_bytes() != bytes(data):
            raise FormatError("not the form of a linear model, in canonical order")
        return form


class LinearClient:
    """Asks for scores of features that it does not show.

    Parameters
    ----------
    form : Form
        The server's.
    private : PrivateKey
        This client's; the server knows the public half.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import paillier
    >>> public, private = paillier.generate_keypair(512, insecure=True)  # in earnest: 3072, the default
    >>> form = Form(features=3, clip=4.0, weight_clip=2.0)
    >>> server = LinearServer(form, weights=[0.5, -1.0, 2.0], bias=0.25)
    >>> client = LinearClient(form, private)
    >>> answer = server.answer(client.query([1.0, 2.0, 3.0]), public)
    >>> client.scores(answer).round(3)
    array([4.75])
    """

    def __init__(self, form: Form, private: PrivateKey) -> None:
        self.form, self._private = form, private
        self._packed, self._blocks = form.layout(private.public.bits)
        self._asked: dict[bytes, tuple[tuple[int, ...], list[int]]] = {}

    def query(self, features: npt.ArrayLike, *, saturate: bool = False) -> bytes:
        """Encrypt one row of features, or several.

        Parameters
        ----------
        features : array of real numbers, shape (d,) or (rows, d)
            Within [-clip, clip].
        saturate : bool
            Move values beyond the clip onto it in place of refusing them.

        Returns
        -------
        bytes
            For `LinearServer.answer`.

        Raises
        ------
        ValueError
            Another shape, or a value beyond the clip.
        """
        integers = self.form.feature_packing.quantise(features, saturate)
        shape = integers.shape
        if len(shape) not in (1, 2) or shape[-1] != self.form.features or not integers.size:
            raise ValueError(
                f"features have the shape ({self.form.features},) or (rows, {self.form.features})"
            )
        rows = integers.reshape(-1, self.form.features)
        if len(rows) > _MAX_ROWS:
            raise ValueError(f"one query has at most {_MAX_ROWS} rows")
        public, t = self._private.public, self.form.slot_bits
        plaintexts = [
            sum(x << (j * t) for j, x in enumerate(block)) % public.n
            for row in rows.tolist()
            for block in _blocks(row, self._packed)
        ]
        ciphertexts = self._private._conceal(plaintexts, self._private.masks(len(plaintexts)))
        name = os.urandom(16)
        self._asked[name] = (shape[:-1], [sum(row) for row in rows.tolist()])
        return _header(_QUERY, self.form, public, name, len(rows)) + ciphertexts.to_bytes()

    def scores(self, answer: bytes) -> npt.NDArray[np.float64]:
        """Decrypt an answer.

        Parameters
        ----------
        answer : bytes
            The server's, to a query of this client that was not answered before.

        Returns
        -------
        ndarray of float64, shape (outputs,) or (rows, outputs)
            w x + b, exact for the rounded features, weights and bias.

        Raises
        ------
        FormatError, InvalidCiphertextError
            The answer is malformed.
        ProtocolError
            It belongs to no open query, or cannot come from a server that follows the protocol.
        """
        public, outputs = self._private.public, self.form.outputs
        name, count, body = _parse(answer, _ANSWER, self.form, public)
        if name not in self._asked or count != len(self._asked[name][1]):
            raise ProtocolError("answered no open query of this client", "server")
        shape, sums = self._asked.pop(name)
        residues = _ciphertexts(body, public, count * outputs)
        low, mask = (self._packed - 1) * self.form.slot_bits, (1 << self.form.output_bits) - 1
        shift, largest = self.form.weight_packing.levels, self.form.largest
        scores = []
        for place, plaintext in enumerate(self._private._decrypt(residues)):
            output = (plaintext >> low & mask) - largest
            if output > largest:
                raise ProtocolError("sent a score beyond the bound of its model", "server")
            scores.append(output - shift * sums[place // outputs])
        step = self.form.step
        return np.array([score * step for score in scores], np.float64).reshape(*shape, outputs)


class LinearServer:
    """Answers encrypted queries with encrypted scores.

    Parameters
    ----------
    form : Form
        Sizes and scales; public.
    weights : array of real numbers, shape (d,) or (outputs, d)
        The model. It stays here.
    bias : array of real numbers, shape () or (outputs,)
        Likewise.
    limit : int or None
        How many rows a client may ask in all; by default `Form.limit`. None sets no limit: for clients that may know
        the model.
    counts : path, optional
        A file that keeps the counts over restarts; it is on disk before an answer is computed. Servers that share it,
        in threads or processes of one machine, count together. `<path>.lock` beside it is theirs, too.

    Raises
    ------
    ValueError
        The shapes do not fit the form, or a number is beyond its clip.
    """

    def __init__(
        self,
        form: Form,
        weights: npt.ArrayLike,
        bias: npt.ArrayLike = 0.0,
        *,
        limit: int | None = -1,
        counts: str | os.PathLike[str] | None = None,
    ) -> None:
        matrix = form.weight_packing.quantise(np.atleast_2d(np.asarray(weights)))
        if matrix.shape != (form.outputs, form.features):
            raise ValueError(f"weights have the shape ({form.outputs}, {form.features})")
        self.form = form
        self._shifted = (matrix + form.weight_packing.levels).tolist()
        self._bias = self._rounded(bias)
        self.limit = form.limit if limit == -1 else limit
        self._path = None if counts is None else Path(counts)
        self._counts = _read_counts(self._path)
        self._counting = threading.Lock()

    def __repr__(self) -> str:
        return f"LinearServer(features={self.form.features}, outputs={self.form.outputs}, limit={self.limit})"

    @classmethod
    def from_model(cls, model: Any, *, clip: float, limit: int | None = -1, **options: Any) -> Self:
        """Take over a fitted linear model of scikit-learn: whatever has `coef_` and `intercept_`.

        Parameters
        ----------
        model
            Such as LogisticRegression, LinearSVC, Ridge or LinearRegression.
        clip : float
            Range of the features, after all scaling.
        limit : int or None
            As for the class.
        options
            Further fields of the `Form`. `weight_clip` is by default the smallest power of two that will do; as part
            of the form it is public.

        Returns
        -------
        LinearServer
            Its `form` is what clients need to know.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> fitted = SimpleNamespace(coef_=[[0.5, -3.0]], intercept_=[1.0])
        >>> LinearServer.from_model(fitted, clip=4.0).form.weight_clip
        4.0
        """
        weights = np.atleast_2d(np.asarray(model.coef_, np.float64))
        bias = np.broadcast_to(np.asarray(model.intercept_, np.float64).ravel(), len(weights))
        outputs, features = weights.shape
        needed = max(float(np.abs(weights).max()), float(np.abs(bias).max()) / (features * clip), 2.0**-100)
        options.setdefault("weight_clip", 2.0 ** math.ceil(math.log2(needed)))
        counts = options.pop("counts", None)
        form = Form(features=features, outputs=outputs, clip=clip, **options)
        return cls(form, weights, bias, limit=limit, counts=counts)

    def answer(self, query: bytes, public: PublicKey, client: str | None = None) -> bytes:
        """Compute the encrypted scores of a query.

        Parameters
        ----------
        query : bytes
            From `LinearClient.query`.
        public : PublicKey
            The client's. Take it only from a client whose name is known, and with the proof of `PublicKey.verify`: the
            blinding needs n to be a proper modulus, and a client with many names has many limits.
        client : str, optional
            Whom to count it for; by default the key.

        Returns
        -------
        bytes
            For `LinearClient.scores`.

        Raises
        ------
        FormatError, InvalidCiphertextError
            The query is malformed, or for another form or key. It is not counted.
        BudgetError
            The client has used up its limit; nothing is computed.
        """
        packed, blocks = self.form.layout(public.bits)
        name, rows, body = _parse(query, _QUERY, self.form, public)
        residues = _ciphertexts(body, public, rows * blocks)
        self._count(public.fingerprint.hex() if client is None else f"client {client}", rows)
        products = self._products(residues, public, packed, blocks, rows)
        addends = [self._addend(o, public, packed) for _ in range(rows) for o in range(self.form.outputs)]
        masks = public._rerandomized(products, short=False)
        answers = public.group.conceal(addends, masks)
        return _header(_ANSWER, self.form, public, name, rows) + answers.to_bytes()

    def _products(
        self, residues: Residues, public: PublicKey, packed: int, blocks: int, rows: int
    ) -> Residues:
        """Return a ciphertext for each row and output, with the output in its place and sums around it."""
        t = self.form.slot_bits
        width = -(-(packed * t) // 8)
        powers = bytearray()
        for weights in self._shifted:
            for block in _blocks(weights, packed):
                exponent = sum(u << (packed - 1 - j) * t for j, u in enumerate(block))
                powers += exponent.to_bytes(width, "big")
        size, data = public.ciphertext_bytes * blocks, residues.to_bytes()
        group = public.group.for_one if rows * len(self._shifted) * blocks == 1 else public.group
        bases = b"".join(data[r * size : (r + 1) * size] * len(self._shifted) for r in range(rows))
        raised = group.secret_powers_of(group.decode(bases), powers * rows, width)
        keys = np.repeat(np.arange(rows * len(self._shifted)), blocks)
        return public.group.residues(products_by_key(raised, keys))

    def _addend(self, output: int, public: PublicKey, packed: int) -> int:
        """Return the bias, the output's offset, and blinds for all that is not the output.

        With t = slot_bits and s = (packed - 1) t, what stands below bit s is at most `low` in magnitude and what stands
        above the output at most `high` units of 2^(s + output_bits). Each blind makes the sum positive and keeps it
        within its place, and is at least 2^64 times as wide as what it hides.
        """
        t, bits, largest = self.form.slot_bits, self.form.output_bits, self.form.largest
        place = (packed - 1) * t
        below = largest * sum(1 << k * t for k in range(packed - 1))
        above = largest * sum(1 << (k + 1) * t - bits for k in range(packed - 1))
        low = below + secrets.randbelow((1 << place) - 2 * below) if packed > 1 else 0
        room = public.n >> place + bits
        high = above + secrets.randbelow(room - 2 * above)
        return low + (largest + self._bias[output] << place) + (high << place + bits)

    def _count(self, client: str, rows: int) -> None:
        """Count rows before they are answered, durably where there is a file."""
        with self._counting, contextlib.ExitStack() as stack:
            if self._path is not None:
                # The file itself is replaced with every count, so that another one carries the lock.
                stack.enter_context(locked(self._path.with_name(self._path.name + ".lock")))
                for name, rows_before in _read_counts(self._path).items():
                    self._counts[name] = max(rows_before, self._counts.get(name, 0))
            asked = self._counts.get(client, 0) + rows
            if self.limit is not None and asked > self.limit:
                raise BudgetError(f"the client may ask {self.limit} rows in all: more of them tell the model")
            self._counts[client] = asked
            if self._path is not None:
                with new_file(self._path, overwrite=True, mode=0o600) as file:
                    file.write(json.dumps(self._counts, sort_keys=True).encode())

    def _rounded(self, bias: npt.ArrayLike) -> list[int]:
        """Return the bias in steps of a score."""
        reals = np.asarray(bias, np.float64)
        if reals.shape not in ((), (self.form.outputs,)):
            raise ValueError(f"a bias is one number, or {self.form.outputs}")
        if not np.all(np.abs(reals) <= self.form.features * self.form.clip * self.form.weight_clip):
            raise ValueError("a bias is beyond features * clip * weight_clip, or no number")
        return [round(b / self.form.step) for b in np.broadcast_to(reals, self.form.outputs).tolist()]


def _blocks(numbers: list[int], size: int) -> list[list[int]]:
    """Cut a row into blocks; the last may be shorter."""
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def _header(magic: bytes, form: Form, public: PublicKey, name: bytes, rows: int) -> bytes:
    """Return the first bytes of a message."""
    return _HEADER.pack(magic, _VERSION, form.digest, public.fingerprint, name, rows)


def _parse(message: bytes, magic: bytes, form: Form, public: PublicKey) -> tuple[bytes, int, memoryview]:
    """Return the query's name, the number of rows and the ciphertexts of a message."""
    view = memoryview(message).cast("B")
    if len(view) < _HEADER.size:
        raise FormatError("too short for the header")
    found, version, digest, fingerprint, name, rows = _HEADER.unpack_from(view)
    if found != magic or version != _VERSION:
        raise FormatError("not a message of this kind and version")
    if digest != form.digest:
        raise FormatError("made for a model of another form")
    if fingerprint != public.fingerprint:
        raise InvalidCiphertextError("encrypted under another key")
    if not 1 <= rows <= _MAX_ROWS:
        raise FormatError(f"a message has 1 to {_MAX_ROWS} rows")
    return name, rows, view[_HEADER.size :]


def _ciphertexts(body: memoryview, public: PublicKey, count: int) -> Residues:
    """Read exactly so many ciphertexts, and check that they are units."""
    group = public.group
    if len(body) != count * group.width:
        raise FormatError("the length does not match the header")
    residues = group.decode(body)
    if not (group.are_in_range(body) and group.are_units(residues)):
        raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
    return residues


def _read_counts(path: Path | None) -> dict[str, int]:
    """Return the counts in a file; none if there is no file yet."""
    if path is None or not path.exists():
        return {}
    try:
        counts = json.loads(path.read_bytes())
        return {str(client): operator.index(asked) for client, asked in counts.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError("not a file of counts") from error
