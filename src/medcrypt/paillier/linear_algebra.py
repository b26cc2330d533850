"""Plaintext matrices times encrypted vectors: linear models on values that stay encrypted.

Values that share a ciphertext cannot be multiplied by different numbers. `EncryptedScalars` therefore holds
one value to a ciphertext: at 3072 bits 768 bytes a value, in return for products with matrices of any sign, dot
products, sums along axes, and plain numbers that are added. Each value is a signed
integer modulo n times a common step. How large it can be at most, `bound`, is tracked, and an operation
that could make it wrap around n is refused before it begins.

`bound` and `step` travel with the result. They come from the declared `clip` of a matrix where one is given,
and then tell nothing about its entries; without one they come from the entries themselves. And whoever
receives d + 1 results of a linear model with d inputs of his choice knows the model, whatever the encryption.
"""

import math
import operator
import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.errors import CapacityError, FormatError, InvalidCiphertextError
from medcrypt.paillier.arithmetic import Residues
from medcrypt.paillier.multiexponentiation import products_by_key, products_of_powers
from medcrypt.paillier.opaque import Opaque
from medcrypt.paillier.packing import Packing

if TYPE_CHECKING:
    from medcrypt.paillier.encryption import EncryptionKey, Mode
    from medcrypt.paillier.keys import PrivateKey, PublicKey

__all__ = ["EncryptedScalars", "decrypt", "decrypt_integers", "dot", "encrypt", "encrypt_integers", "matmul"]

_MAGIC, _VERSION = b"MCPV", 1
_HEADER = struct.Struct(">4sBd32sB")  # magic, version, step, key fingerprint, number of dimensions
_MAX_DIMENSIONS, _MAX_ELEMENTS, _MAX_CONTEXT = 32, 1 << 40, 255


class EncryptedScalars(Opaque):
    """An array of encrypted numbers, one to a ciphertext.

    Made by `encrypt` and `from_bytes`; every operation returns a new one.

    Parameters
    ----------
    public
        The key.
    ciphertexts
        Units modulo n^2, in C order.
    shape
        Shape of the array.
    bound
        No value is larger in magnitude, in steps; at most (n - 1) / 2.
    step
        What one unit of the integers stands for.
    context
        Up to 255 bytes that travel with the array. Only arrays of equal context can be added.

    Raises
    ------
    TypeError
        If a field is of another type.
    ValueError
        If the fields contradict each other.
    InvalidCiphertextError
        If an integer is not a unit in (0, n^2), or the residues are those of another key.
    CapacityError
        If the bound is too large for n.

    Examples
    --------
    >>> from medcrypt.paillier import generate_keypair
    >>> public, private = generate_keypair(256, insecure=True)
    >>> x = encrypt_integers(public, [1, -2, 3], bits=8)
    >>> decrypt_integers(private, np.array([[1, 1, 1], [0, 5, -1]]) @ x)
    array([  2, -13])
    """

    def __init__(
        self,
        public: "PublicKey",
        ciphertexts: Iterable[int] | Residues,
        shape: tuple[int, ...],
        *,
        bound: int,
        step: float = 1.0,
        context: bytes = b"",
    ) -> None:
        self.public = public
        self.residues = public.group.residues(public.group.ciphertexts(ciphertexts))
        self.shape = tuple(operator.index(side) for side in shape)
        self.bound = operator.index(bound)
        self.step = float(step)
        self.context = bytes(memoryview(context))
        if len(self.shape) > _MAX_DIMENSIONS or any(side < 0 for side in self.shape):
            raise ValueError(f"a shape has at most {_MAX_DIMENSIONS} dimensions, none negative")
        if len(self.residues) != self.size:
            raise ValueError("the number of ciphertexts does not match the shape")
        if not (0 < self.step < math.inf):
            raise ValueError("the step must be a positive number")
        if len(self.context) > _MAX_CONTEXT:
            raise ValueError(f"a context has at most {_MAX_CONTEXT} bytes")
        _check_bound(public, self.bound)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def ciphertexts(self) -> tuple[int, ...]:
        """The ciphertexts, integers modulo n^2."""
        return tuple(self.residues)

    @property
    def nbytes(self) -> int:
        """Length of `to_bytes()`."""
        header = _HEADER.size + 8 * self.ndim + 1 + len(self.context) + self.public.group.n_width
        return header + self.size * self.public.ciphertext_bytes

    def __repr__(self) -> str:
        return (
            f"EncryptedScalars(shape={self.shape}, bound={self.bound.bit_length()} bits, "
            f"key='{self.public.fingerprint[:8].hex()}')"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return EncryptedScalars.from_bytes, (self.to_bytes(), self.public)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array without dimensions has no length")
        return self.shape[0]

    def __add__(self, other: object) -> "EncryptedScalars":
        if isinstance(other, EncryptedScalars):
            self._check_addable(other)
            bound = self.bound + other.bound
            _check_bound(self.public, bound)
            return self._replace(self.public.group.multiply(self.residues, other.residues), bound)
        return self.plus(other)  # type: ignore[arg-type]  # numpy is the judge of what is an array

    __radd__ = __add__

    def __neg__(self) -> "EncryptedScalars":
        return self._replace(self.public.group.invert(self.residues), self.bound)

    def __sub__(self, other: object) -> "EncryptedScalars":
        # Not self + (-other): numpy's negative wraps for unsigned integers and for the least of the signed ones.
        return -(-self + other)

    def __rsub__(self, other: object) -> "EncryptedScalars":
        return -self + other

    def __mul__(self, factor: SupportsIndex) -> "EncryptedScalars":
        if isinstance(factor, (bool, np.bool_)):
            raise TypeError("multiply by an integer, not by a boolean")
        try:
            k = operator.index(factor)
        except TypeError:
            raise TypeError(
                f"encrypted values can be multiplied by an integer, not by {type(factor).__name__}; "
                "see matmul for real matrices"
            ) from None
        bound = self.bound * abs(k)
        _check_bound(self.public, bound)
        return self._replace(self.public.group.power(self.residues, k), bound)

    __rmul__ = __mul__

    def __rmatmul__(self, matrix: npt.ArrayLike) -> "EncryptedScalars":
        return matmul(matrix, self)

    def plus(self, values: npt.ArrayLike, *, clip: float | None = None) -> "EncryptedScalars":
        """Add plain numbers, such as the bias of a layer, without encrypting them.

        Parameters
        ----------
        values
            Real numbers or integers of this shape, or one for all; rounded to the nearest step.
        clip
            Declared bound on their magnitude, in place of the actual one.

        Returns
        -------
        EncryptedScalars
            The sums. They can be linked to this array until they are re-randomised.

        Raises
        ------
        TypeError
            If they are no real numbers.
        ValueError
            If the shape differs, a value is NaN or infinite, or one is beyond the clip.
        CapacityError
            If a sum could wrap around n.

        Examples
        --------
        >>> from medcrypt.paillier import generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> x = encrypt_integers(public, [1, -2], bits=8)
        >>> decrypt_integers(private, x.plus([10, 20]))
        array([11, 18])
        """
        plain = _unmasked(values)
        if plain.dtype.kind not in "fiu":
            raise TypeError(f"expected real numbers, got dtype {plain.dtype}")
        if plain.dtype.kind == "f":
            with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite and is refused
                plain = plain.astype(np.float64)
        if not np.isfinite(plain).all():
            raise ValueError("NaN and infinite values cannot be added")
        if plain.shape not in ((), self.shape):
            raise ValueError(f"the shapes {self.shape} and {plain.shape} differ")
        step = Fraction(self.step)
        addends = [round(Fraction(x) / step) for x in np.broadcast_to(plain, self.shape).ravel().tolist()]
        largest = max(map(abs, addends), default=0)
        if clip is not None:
            declared = math.ceil(_declared(clip) / step)
            if largest > declared:
                raise ValueError(f"values beyond the clip of {clip}")
            largest = declared
        _check_bound(self.public, self.bound + largest)
        sums = self.public.group.conceal([x % self.public.n for x in addends], self.residues)
        return self._replace(sums, self.bound + largest)

    def sum(self, axis: int | None = None) -> "EncryptedScalars":
        """Add up values along an axis, or all of them.

        Parameters
        ----------
        axis
            The axis; None for all.

        Returns
        -------
        EncryptedScalars
            The sums, without that axis.

        Raises
        ------
        ValueError
            If there is no such axis, or it is empty.
        CapacityError
            If a sum could wrap around n.

        Examples
        --------
        >>> from medcrypt.paillier import generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> x = encrypt_integers(public, [[1, 2], [3, -4]], bits=8)
        >>> decrypt_integers(private, x.sum(axis=0)), int(decrypt_integers(private, x.sum()))
        (array([ 4, -2]), 2)
        """
        if axis is not None and not -self.ndim <= axis < self.ndim:
            raise ValueError(f"there is no axis {axis} in the shape {self.shape}")
        shape = () if axis is None else tuple(np.delete(self.shape, axis).tolist())
        if not self.size:
            raise ValueError("there is nothing to add up")
        terms = self.size // math.prod(shape)
        _check_bound(self.public, self.bound * terms)
        target = np.arange(math.prod(shape)).reshape(shape)
        keys = np.zeros(self.shape, dtype=np.int64)
        keys += target if axis is None else np.expand_dims(target, axis)
        return self._replace(products_by_key(self.residues, keys.ravel()), self.bound * terms, shape)

    def rerandomize(self, *, short: bool = False) -> "EncryptedScalars":
        """Return fresh ciphertexts of the same values that cannot be linked to these.

        Do it before a result leaves: products and sums are computed without randomness.

        Parameters
        ----------
        short
            As for `EncryptedArray.rerandomize`: only where the receiver does not hold the private key.

        Returns
        -------
        EncryptedScalars
            Same values.

        Examples
        --------
        >>> from medcrypt.paillier import generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> x = 0 * encrypt_integers(public, [1, -2], bits=8)
        >>> x.ciphertexts, 1 in x.rerandomize().ciphertexts
        ((1, 1), False)
        """
        return self._replace(self.public._rerandomized(self.residues, short=short), self.bound)

    def to_bytes(self) -> bytes:
        """Return the array in the format that `docs/formats/paillier.md` specifies.

        Returns
        -------
        bytes
            `nbytes` bytes.

        Examples
        --------
        >>> from medcrypt.paillier import generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> data = encrypt_integers(public, [1, -2], bits=8).to_bytes()
        >>> decrypt_integers(private, EncryptedScalars.from_bytes(data, public))
        array([ 1, -2])
        """
        header = _HEADER.pack(_MAGIC, _VERSION, self.step, self.public.fingerprint, self.ndim)
        shape = struct.pack(f">{self.ndim}Q", *self.shape)
        context = bytes([len(self.context)]) + self.context
        bound = self.bound.to_bytes(self.public.group.n_width, "big")
        return b"".join([header, shape, context, bound, self.residues.to_bytes()])

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, public: "PublicKey", *, context: bytes | None = None
    ) -> "EncryptedScalars":
        """Read an array and check all that can be checked without the private key.

        Parameters
        ----------
        data
            What `to_bytes` made. Not authenticated, as for `EncryptedArray.from_bytes`.
        public
            The key that it must be encrypted under.
        context
            The context that it must have; None takes any.

        Returns
        -------
        EncryptedScalars
            The array.

        Raises
        ------
        FormatError
            If the header is malformed or the length is not exactly what it promises.
        InvalidCiphertextError
            If the key or the context is another one, or a ciphertext is not a unit modulo n^2.

        Examples
        --------
        See `to_bytes`.
        """
        view, group = memoryview(data).cast("B"), public.group
        step, fingerprint, shape, found, bound_at = _parse_header(view)
        if fingerprint != public.fingerprint:
            raise InvalidCiphertextError("the array is encrypted under another key")
        if context is not None and context != found:
            raise InvalidCiphertextError("the array belongs to another context")
        start = bound_at + group.n_width
        if len(view) - start != math.prod(shape) * group.width:
            raise FormatError("the length does not match the header")
        bound = int.from_bytes(view[bound_at:start], "big")
        if bound > public.n // 2:
            raise FormatError("the bound is too large")
        residues = group.decode(view[start:])
        if not (group.are_in_range(view[start:]) and group.are_units(residues)):
            raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
        return cls(public, residues, shape, bound=bound, step=step, context=found)

    def _replace(
        self,
        residues: Residues,
        bound: int,
        shape: tuple[int, ...] | None = None,
        step: float | None = None,
    ) -> "EncryptedScalars":
        """Return an array of the same key and context."""
        return EncryptedScalars(
            *(self.public, residues, self.shape if shape is None else shape),
            bound=bound,
            step=self.step if step is None else step,
            context=self.context,
        )

    def _check_addable(self, other: "EncryptedScalars") -> None:
        """Refuse another key, shape, step or context."""
        if other.public != self.public:
            raise InvalidCiphertextError("the arrays are encrypted under different keys")
        if other.shape != self.shape:
            raise ValueError(f"the shapes {self.shape} and {other.shape} differ")
        if other.step != self.step:
            raise ValueError("the steps differ")
        if other.context != self.context:
            raise ValueError("the contexts differ")


def encrypt(
    key: "EncryptionKey",
    array: npt.ArrayLike,
    *,
    clip: float,
    bits: int = 32,
    saturate: bool = False,
    context: bytes = b"",
    mode: "Mode | None" = None,
) -> EncryptedScalars:
    """Encrypt real numbers in fixed point, one to a ciphertext.

    Parameters
    ----------
    key
        A public key, or the private one, which is faster.
    array
        Real numbers, any shape.
    clip
        Largest magnitude.
    bits
        Precision: one step is clip / (2^(bits-1) - 1).
    saturate
        Move values beyond the clip onto it in place of refusing them.
    context
        Bytes to travel with the array in clear.
    mode
        As for `EncryptionKey.encrypt`.

    Returns
    -------
    EncryptedScalars
        Same shape.

    Raises
    ------
    TypeError, ValueError
        As `Packing.quantise`.

    Examples
    --------
    >>> from medcrypt.paillier import generate_keypair
    >>> public, private = generate_keypair(256, insecure=True)
    >>> x = encrypt(public, [0.5, -2.0], clip=4.0)
    >>> decrypt(private, matmul([[1.5, 0.25]], x, clip=2.0)).round(3)
    array([0.25])
    """
    packing = Packing(clip=clip, bits=bits, max_terms=1)
    integers = packing.quantise(array, saturate)
    return _conceal(key, integers, packing.levels, packing.clip / packing.levels, context, mode)


def encrypt_integers(
    key: "EncryptionKey",
    array: npt.ArrayLike,
    *,
    bits: int = 32,
    context: bytes = b"",
    mode: "Mode | None" = None,
) -> EncryptedScalars:
    """Encrypt integers, one to a ciphertext.

    Parameters
    ----------
    key, context, mode
        As for `encrypt`.
    array
        Integer dtype, any shape, |x| < 2^(bits-1).
    bits
        Length of the longest, with its sign; at most 64.

    Returns
    -------
    EncryptedScalars
        Same shape; step 1.

    Raises
    ------
    TypeError
        If the dtype is not an integer one.
    ValueError
        If a value does not fit.

    Examples
    --------
    See `EncryptedScalars`.
    """
    plain = _unmasked(array)
    if plain.dtype.kind not in "iu":
        raise TypeError(f"expected integers, got dtype {plain.dtype}")
    if not 2 <= bits <= 64:
        raise ValueError("bits must be between 2 and 64")
    bound = (1 << (bits - 1)) - 1
    if plain.size and max(int(plain.max()), -int(plain.min())) > bound:
        raise ValueError(f"integers must be between {-bound} and {bound}")
    return _conceal(key, plain, bound, 1.0, context, mode)


def decrypt(private: "PrivateKey", scalars: EncryptedScalars) -> npt.NDArray[np.float64]:
    """Decrypt to real numbers.

    Parameters
    ----------
    private
        The key.
    scalars
        Numbers under it.

    Returns
    -------
    ndarray of float64
        Integer times step, of the array's shape.

    Raises
    ------
    TypeError, InvalidCiphertextError
        As `decrypt_integers`.

    Examples
    --------
    See `encrypt`.
    """
    step = Fraction(scalars.step)
    values = [float(m * step) for m in _reveal(private, scalars)]
    return np.array(values, dtype=np.float64).reshape(scalars.shape)


def decrypt_integers(private: "PrivateKey", scalars: EncryptedScalars) -> npt.NDArray[Any]:
    """Decrypt to the exact integers.

    Parameters
    ----------
    private
        The key.
    scalars
        Numbers under it.

    Returns
    -------
    ndarray of int64, or of Python integers where `bound` does not fit 64 bits
        Of the array's shape.

    Raises
    ------
    TypeError
        If it is no `EncryptedScalars`.
    InvalidCiphertextError
        If it is encrypted under another key, a ciphertext is not a unit modulo n^2, or a value is beyond the
        declared bound.

    Examples
    --------
    See `EncryptedScalars`.
    """
    values = np.array(_reveal(private, scalars), dtype=object)
    dtype = np.int64 if scalars.bound < 1 << 63 else object
    return values.astype(dtype).reshape(scalars.shape)


def matmul(
    matrix: npt.ArrayLike, scalars: EncryptedScalars, *, clip: float | None = None, bits: int = 16
) -> EncryptedScalars:
    """Multiply a plain matrix by an encrypted vector or matrix.

    Parameters
    ----------
    matrix
        Shape (m, k), or (k,) for a dot product. Integers are taken as they are, |x| < 2^63; real numbers are
        rounded to multiples of clip / (2^(bits-1) - 1).
    scalars
        Shape (k,) or (k, t).
    clip
        Declared bound on the magnitude of the entries; needed for real ones. With it, the result's `bound`
        and `step` depend on nothing else; without, on the largest row of the matrix.
    bits
        Precision of real entries.

    Returns
    -------
    EncryptedScalars
        Shape (m,), (m, t), () or (t,), as in numpy. Deterministic: `rerandomize` it before it leaves.

    Raises
    ------
    TypeError
        If the matrix holds no numbers, or the right side is not encrypted.
    ValueError
        If the shapes do not fit, real entries have no clip, or an entry is beyond it.
    CapacityError
        If a result could wrap around n. Checked before anything is computed.

    Notes
    -----
    The matrix is treated as public to whoever can measure this machine: the running time depends on it.

    Examples
    --------
    See `encrypt` and `EncryptedScalars`.
    """
    if not isinstance(scalars, EncryptedScalars):
        raise TypeError(f"expected EncryptedScalars, not {type(scalars).__name__}")
    plain = _unmasked(matrix)
    if plain.ndim not in (1, 2) or scalars.ndim not in (1, 2) or plain.shape[-1] != len(scalars):
        raise ValueError(f"the shapes {plain.shape} and {scalars.shape} do not fit")
    weights, weight_sum, step = _weights(plain, clip, bits)
    _check_bound(scalars.public, weight_sum * scalars.bound)
    rows = weights.reshape(math.prod(weights.shape[:-1]), len(scalars))
    columns = scalars.shape[1] if scalars.ndim == 2 else 1
    group = scalars.public.group
    data = np.frombuffer(scalars.residues.to_bytes(), dtype=np.uint8)
    inputs = data.reshape(len(scalars), columns, group.width)
    outputs = np.empty((len(rows), columns, group.width), dtype=np.uint8)
    for column in range(columns):
        products = products_of_powers(group.decode(inputs[:, column].tobytes()), rows)
        outputs[:, column] = np.frombuffer(products.to_bytes(), dtype=np.uint8).reshape(-1, group.width)
    shape = (*weights.shape[:-1], *scalars.shape[1:])
    return scalars._replace(
        group.decode(outputs.tobytes()), weight_sum * scalars.bound, shape, scalars.step * step
    )


def dot(
    vector: npt.ArrayLike, scalars: EncryptedScalars, *, clip: float | None = None, bits: int = 16
) -> EncryptedScalars:
    """Return the dot product of a plain and an encrypted vector; `matmul` for two vectors.

    Parameters
    ----------
    vector
        Shape (k,).
    scalars
        Shape (k,).
    clip, bits
        As for `matmul`.

    Returns
    -------
    EncryptedScalars
        Shape ().

    Raises
    ------
    TypeError, ValueError, CapacityError
        As `matmul`.

    Examples
    --------
    >>> from medcrypt.paillier import generate_keypair
    >>> public, private = generate_keypair(256, insecure=True)
    >>> int(decrypt_integers(private, dot([2, -3], encrypt_integers(public, [5, 1], bits=8))))
    7
    """
    if np.ndim(vector) != 1 or scalars.ndim != 1:
        raise ValueError("a dot product takes two vectors")
    return matmul(vector, scalars, clip=clip, bits=bits)


def _weights(
    matrix: npt.NDArray[Any], clip: float | None, bits: int
) -> tuple[npt.NDArray[np.int64], int, float]:
    """Return a matrix in integers, a bound on the sum of the magnitudes in a row, and its step."""
    columns = matrix.shape[-1]
    if matrix.dtype.kind == "f":
        if clip is None:
            raise ValueError("real matrices need a clip")
        packing = Packing(clip=clip, bits=bits, max_terms=1)
        return packing.quantise(matrix), columns * packing.levels, packing.clip / packing.levels
    if matrix.dtype.kind not in "iu":
        raise TypeError(f"expected real numbers, got dtype {matrix.dtype}")
    largest = max(int(matrix.max(initial=0)), -int(matrix.min(initial=0)))
    if largest >= 1 << 63:
        raise ValueError("integers must be below 2^63 in magnitude")
    weights = matrix.astype(np.int64)
    if clip is not None:
        declared = math.floor(_declared(clip))
        if largest > declared:
            raise ValueError(f"entries beyond the clip of {clip}")
        return weights, columns * declared, 1.0
    sums = np.abs(weights).astype(object).reshape(-1, max(columns, 1)).sum(axis=1)
    return weights, int(max(sums, default=0)), 1.0


def _declared(clip: float) -> Fraction:
    """Return a declared bound exactly; an integer may be of any length."""
    number = float(clip) if isinstance(clip, (float, np.floating)) else operator.index(clip)
    if not 0 <= number < math.inf:
        raise ValueError("clip must be a finite number that is not negative")
    return Fraction(number)


def _conceal(
    key: "EncryptionKey",
    integers: npt.NDArray[Any],
    bound: int,
    step: float,
    context: bytes,
    mode: "Mode | None",
) -> EncryptedScalars:
    """Encrypt integers one by one."""
    public = key._public_half
    _check_bound(public, bound)
    plaintexts = [x % public.n for x in integers.ravel().tolist()]
    ciphertexts = key._conceal(plaintexts, key.masks(len(plaintexts), mode))
    return EncryptedScalars(public, ciphertexts, integers.shape, bound=bound, step=step, context=context)


def _reveal(private: "PrivateKey", scalars: EncryptedScalars) -> list[int]:
    """Decrypt to signed integers and hold them against the bound."""
    if not isinstance(scalars, EncryptedScalars):
        raise TypeError(f"expected EncryptedScalars, not {type(scalars).__name__}")
    if scalars.public != private.public:
        raise InvalidCiphertextError("the array is encrypted under another key")
    n = scalars.public.n
    values = [m - n if m > n // 2 else m for m in private._decrypt(scalars.residues)]
    if any(abs(m) > scalars.bound for m in values):
        raise InvalidCiphertextError("a value is beyond the declared bound")
    return values


def _check_bound(public: "PublicKey", bound: int) -> None:
    """Refuse magnitudes that would wrap around n."""
    if bound < 0:
        raise ValueError("a bound must not be negative")
    if bound > public.n // 2:
        raise CapacityError(
            f"results of up to {bound.bit_length()} bits do not fit the key's {public.bits - 1} bits"
        )


def _parse_header(view: memoryview) -> tuple[float, bytes, tuple[int, ...], bytes, int]:
    """Read step, fingerprint, shape and context; the last item is where the bound starts."""
    if len(view) < _HEADER.size:
        raise FormatError("too short for the header")
    magic, version, step, fingerprint, ndim = _HEADER.unpack_from(view)
    if magic != _MAGIC or version != _VERSION:
        raise FormatError("not encrypted scalars of this version")
    if not 0 < step < math.inf:
        raise FormatError("the step is no positive number")
    context_at = _HEADER.size + 8 * ndim
    if ndim > _MAX_DIMENSIONS or len(view) <= context_at:
        raise FormatError("too many dimensions, or too short for them")
    shape = struct.unpack_from(f">{ndim}Q", view, _HEADER.size)
    if math.prod(max(side, 1) for side in shape) > _MAX_ELEMENTS:
        raise FormatError("the shape is too large")
    bound_at = context_at + 1 + view[context_at]  # may lie beyond the end: then no length of the body matches
    return step, fingerprint, shape, bytes(view[context_at + 1 : bound_at]), bound_at


def _unmasked(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Coerce to a plain array; what a mask hides must not be sent."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError("masked arrays have no encrypted form; fill them first")
    return np.asarray(values)
