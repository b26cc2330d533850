"""Arrays whose values are encrypted, and the few operations that Paillier allows on them."""

import math
import operator
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

import numpy as np

from medcrypt.errors import FormatError, InvalidCiphertextError
from medcrypt.paillier.arithmetic import Residues
from medcrypt.paillier.opaque import Opaque
from medcrypt.paillier.packing import Packing, as_index
from medcrypt.paillier.proofs import plaintexts

if TYPE_CHECKING:
    from medcrypt.paillier.keys import PublicKey

__all__ = ["EncryptedArray", "add", "concatenate"]

_MAGIC = b"MCPA"
# magic, version, bits, max_terms, terms, clip, key fingerprint, number of dimensions; all big-endian
_HEADER = struct.Struct(">4sBBQQd32sB")
# Version 2, only for what version 1 cannot say: two bytes more before the shape, signed (0 or 1) and headroom.
_EXTENSION = struct.Struct(">BB")
_MAX_DIMENSIONS = 32
_MAX_ELEMENTS = 1 << 40  # bound on the product of the non-zero dimensions, so that numpy can hold the shape
_MAX_CONTEXT = 255


class EncryptedArray(Opaque):
    """An array of numbers encrypted under a Paillier key, many to a ciphertext.

    Made by `PublicKey.encrypt`, `PrivateKey.encrypt` and `EncryptedArray.from_bytes`, never changed
    afterwards: every operation returns a new array.

    Parameters
    ----------
    public
        The key that it is encrypted under.
    ciphertexts
        Units modulo n^2; integers are checked at the first operation on them.
    shape
        Shape of the array.
    packing
        How the values are laid out.
    terms
        Sum of the weights of all encryptions that were added up so far: 1 after encryption.
    context
        Up to 255 bytes that travel with the array, such as the identity of a round. Only arrays of equal
        context can be added.

    Raises
    ------
    TypeError
        If a field is of another type.
    ValueError
        If the fields contradict each other.
    CapacityError
        If `terms` exceeds the packing's `max_terms`.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.paillier import Packing, generate_keypair
    >>> public, private = generate_keypair(512, insecure=True)
    >>> packing = Packing(clip=8.0, bits=32, max_terms=10)
    >>> a = public.encrypt(np.array([[1.0, -2.0], [0.5, 8.0]]), packing)
    >>> b = public.encrypt(np.array([[3.0, 1.0], [0.0, -8.0]]), packing)
    >>> total = a + 2 * b
    >>> total
    EncryptedArray(shape=(2, 2), terms=3/10, ciphertexts=1, key='...')
    >>> private.decrypt(total).round(6)
    array([[ 7. ,  0. ],
           [ 0.5, -8. ]])
    """

    def __init__(
        self,
        public: "PublicKey",
        ciphertexts: Iterable[int] | Residues,
        shape: tuple[int, ...],
        packing: Packing,
        *,
        terms: int = 1,
        context: bytes = b"",
    ) -> None:
        self._public = public
        self._elements = ciphertexts if isinstance(ciphertexts, Residues) else tuple(ciphertexts)
        self._shape = tuple(operator.index(side) for side in shape)
        self._packing = packing
        self._terms = as_index(terms, "terms")
        self._context = bytes(
            memoryview(context)
        )  # not bytes(context): an integer would become so many zeros
        if len(self._shape) > _MAX_DIMENSIONS or any(side < 0 for side in self._shape):
            raise ValueError(f"a shape has at most {_MAX_DIMENSIONS} dimensions, none negative")
        if math.prod(max(side, 1) for side in self._shape) > _MAX_ELEMENTS:
            raise ValueError(f"an array has at most {_MAX_ELEMENTS} elements")
        if len(self._context) > _MAX_CONTEXT:
            raise ValueError(f"a context has at most {_MAX_CONTEXT} bytes")
        if self._terms < 0:
            raise ValueError("terms must not be negative")
        packing.check_terms(self._terms)
        if len(self._elements) != packing.ciphertexts(self.size, public.bits):
            raise ValueError("the number of ciphertexts does not match the shape, packing and key")

    @property
    def public(self) -> "PublicKey":
        """The key that the array is encrypted under."""
        return self._public

    @property
    def ciphertexts(self) -> tuple[int, ...]:
        """The ciphertexts, integers modulo n^2."""
        return tuple(self._elements)

    @property
    def residues(self) -> Residues:
        """The ciphertexts in the form that the kernels compute with.

        Raises
        ------
        InvalidCiphertextError
            If the array was made of integers that are no units modulo n^2, or of residues of another key.
        """
        self._elements = self._public.group.ciphertexts(self._elements)
        return self._elements

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, as in numpy."""
        return self._shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self._shape)

    @property
    def packing(self) -> Packing:
        """How the values are laid out."""
        return self._packing

    @property
    def terms(self) -> int:
        """Sum of the weights of all terms so far."""
        return self._terms

    @property
    def context(self) -> bytes:
        """Bytes that travel with the array."""
        return self._context

    @property
    def fingerprint(self) -> bytes:
        """Fingerprint of the key, 32 bytes."""
        return self._public.fingerprint

    @property
    def nbytes(self) -> int:
        """Length of `to_bytes()`."""
        header = _HEADER.size + len(_extension(self._packing)) + 8 * self.ndim + 1 + len(self._context)
        return header + len(self._elements) * self._public.ciphertext_bytes

    def __repr__(self) -> str:
        return (
            f"EncryptedArray(shape={self._shape}, terms={self._terms}/{self._packing.max_terms}, "
            f"ciphertexts={len(self._elements)}, key='{self.fingerprint[:8].hex()}')"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return EncryptedArray.from_bytes, (self.to_bytes(), self._public)

    def __add__(self, other: object) -> "EncryptedArray":
        if not isinstance(other, EncryptedArray):
            raise TypeError(
                f"only an encrypted array can be added, not {type(other).__name__}: encrypt it first, "
                "and add up several with medcrypt.paillier.add"
            )
        return add([self, other])

    __radd__ = __add__

    def __sub__(self, other: object) -> NoReturn:
        raise TypeError("encrypted arrays cannot be subtracted: encrypt the negated values and add them")

    __rsub__ = __sub__

    def __neg__(self) -> NoReturn:
        raise TypeError("encrypted arrays cannot be negated: encrypt the negated values in their place")

    def __truediv__(self, other: object) -> NoReturn:
        raise TypeError("encrypted arrays cannot be divided: divide after decryption")

    __floordiv__ = __mod__ = __truediv__

    def __matmul__(self, other: object) -> NoReturn:
        raise TypeError(
            "values that share a ciphertext have no matrix products: see medcrypt.paillier.linear_algebra"
        )

    __rmatmul__ = __matmul__

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("an array without dimensions has no length")
        return self._shape[0]

    def __getitem__(self, key: slice) -> "EncryptedArray":
        """Take a range along the first axis that begins and ends between ciphertexts."""
        if not isinstance(key, slice) or not self._shape:
            raise TypeError("only slices along the first axis can be taken: single values share a ciphertext")
        start, stop, step = key.indices(self._shape[0])
        stop = max(start, stop)
        if step != 1:
            raise ValueError("a slice of an encrypted array has no step")
        inner, slots = math.prod(self._shape[1:]), self._packing.slots(self._public.bits)
        first, last = start * inner, stop * inner
        if first != last and (first % slots or (last % slots and last != self.size)):
            raise ValueError(
                f"a slice must begin and end between ciphertexts, which hold {slots} values each; "
                f"this one goes from value {first} to {last}"
            )
        width, data = self._public.ciphertext_bytes, self.residues.to_bytes()
        elements = self._public.group.decode(data[first // slots * width : -(-last // slots) * width])
        if first == last:
            elements = self._public.group.residues([])
        return self._replace(elements, terms=self._terms, shape=(stop - start, *self._shape[1:]))

    def __mul__(self, weight: SupportsIndex) -> "EncryptedArray":
        factor = _as_weight(weight)
        self._packing.check_terms(self._terms * factor)
        powers = self._public.group.power(self.residues, factor)
        return self._replace(powers, terms=self._terms * factor)

    __rmul__ = __mul__

    def rerandomize(self, *, short: bool = False) -> "EncryptedArray":
        """Return fresh ciphertexts of the same values that cannot be linked to these.

        Parameters
        ----------
        short
            Use a short exponent in place of rho^n with rho uniform: much faster, and enough where the
            receiver does not hold the private key. Only for a trusted key (see `PublicKey`).

        Returns
        -------
        EncryptedArray
            Same values, same terms.

        Raises
        ------
        ValueError
            If `short` is asked for under a key that is not trusted.

        Examples
        --------
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> encrypted = public.encrypt([1.0, 2.0], Packing())
        >>> private.decrypt(encrypted.rerandomize()).round(6)
        array([1., 2.])
        """
        return self._replace(self._public._rerandomized(self.residues, short=short), terms=self._terms)

    def verify_plaintexts_known(self, proof: bytes, *, context: bytes = b"") -> None:
        """Verify that whoever encrypted this array knew what is in it.

        Parameters
        ----------
        proof
            What `PublicKey.encrypt_integers_and_prove` returned with it.
        context
            What the proof must be bound to.

        Raises
        ------
        InvalidCiphertextError
            If the proof is malformed or does not hold for these ciphertexts and this context.

        Examples
        --------
        See `PublicKey.encrypt_integers_and_prove`.
        """
        plaintexts.verify(self._public.group, self.residues, proof, context)

    def to_bytes(self) -> bytes:
        """Return the array in the format that `docs/formats/paillier.md` specifies.

        Returns
        -------
        bytes
            `nbytes` bytes: a header and the ciphertexts, each of fixed width.

        Examples
        --------
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, _ = generate_keypair(256, insecure=True)
        >>> public.encrypt([1.0, 2.0], Packing()).to_bytes()[:4]
        b'MCPA'
        """
        packing = self._packing
        extension = _extension(packing)
        header = _HEADER.pack(
            *(_MAGIC, 2 if extension else 1, packing.bits, packing.max_terms, self._terms, packing.clip),
            *(self.fingerprint, self.ndim),
        )
        shape = struct.pack(f">{self.ndim}Q", *self._shape)
        context = bytes([len(self._context)]) + self._context
        return b"".join([header, extension, shape, context, self.residues.to_bytes()])

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, public: "PublicKey", *, context: bytes | None = None
    ) -> "EncryptedArray":
        """Read an array and check all that can be checked without the private key.

        Nothing here is authenticated: whoever holds the public key can make such bytes. What a parser cannot
        check (clip, shape within the same number of ciphertexts, terms, context) is vouched for by the
        sender's signature where parties talk.

        Parameters
        ----------
        data
            What `to_bytes` made.
        public
            The key that the array must be encrypted under.
        context
            The context that the array must have, such as the identity of this round; None takes any.

        Returns
        -------
        EncryptedArray
            The array.

        Raises
        ------
        FormatError
            If the header is malformed or the length is not exactly what it promises.
        InvalidCiphertextError
            If the key or the context is another one, or a ciphertext is not a unit modulo n^2.

        Examples
        --------
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> data = public.encrypt([1.0, 2.0], Packing()).to_bytes()
        >>> private.decrypt(EncryptedArray.from_bytes(data, public)).round(6)
        array([1., 2.])
        """
        view = memoryview(data).cast("B")
        terms, packing, fingerprint, shape, found, start = _parse_header(view)
        if fingerprint != public.fingerprint:
            raise InvalidCiphertextError("the array is encrypted under another key")
        if context is not None and context != found:
            raise InvalidCiphertextError("the array belongs to another context")
        width = public.ciphertext_bytes
        try:
            count = packing.ciphertexts(math.prod(shape), public.bits)
        except ValueError as error:
            raise FormatError("the packing does not fit the key") from error
        if len(view) - start != count * width:
            raise FormatError("the length does not match the header")
        body, group = view[start:], public.group
        residues = group.decode(body)
        if not (group.are_in_range(body) and group.are_units(residues)):
            raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
        return cls(public, residues, shape, packing, terms=terms, context=found)

    def _replace(
        self, ciphertexts: Residues, terms: int, shape: tuple[int, ...] | None = None
    ) -> "EncryptedArray":
        """Return an array of the same key, packing, context and, if no other is given, shape."""
        return EncryptedArray(
            *(self._public, ciphertexts, self._shape if shape is None else shape, self._packing),
            terms=terms,
            context=self._context,
        )


def add(arrays: Iterable[EncryptedArray]) -> EncryptedArray:
    """Add encrypted arrays of one key, shape, packing and context.

    Parameters
    ----------
    arrays
        One array or more.

    Returns
    -------
    EncryptedArray
        The sum; its `terms` is the sum of theirs.

    Raises
    ------
    TypeError
        If one of them is not an encrypted array.
    ValueError
        If there is none, or they differ in shape, packing or context.
    InvalidCiphertextError
        If they are encrypted under different keys.
    CapacityError
        If the sum would have more terms than the packing has room for. Checked before anything is computed.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, generate_keypair
    >>> public, private = generate_keypair(256, insecure=True)
    >>> uploads = [public.encrypt([1.0, float(i)], Packing(max_terms=4)) for i in range(4)]
    >>> private.decrypt(add(uploads)).round(6)
    array([4., 6.])
    """
    terms = list(arrays)
    if not terms:
        raise ValueError("nothing to add")
    first = terms[0]
    for term in terms:
        _check_addable(first, term)
    total = sum(term.terms for term in terms)
    first.packing.check_terms(total)
    ciphertexts = first.residues
    for term in terms[1:]:
        ciphertexts = first.public.group.multiply(ciphertexts, term.residues)
    return first._replace(ciphertexts, terms=total)


def concatenate(arrays: Iterable[EncryptedArray]) -> EncryptedArray:
    """Join encrypted arrays along the first axis, ciphertexts untouched.

    Parameters
    ----------
    arrays
        One array or more, of one key, packing and context, with equal terms and equal shapes beyond the
        first axis. All but the last must fill their ciphertexts completely.

    Returns
    -------
    EncryptedArray
        The joined array, with the terms of each.

    Raises
    ------
    TypeError
        If one of them is not an encrypted array, or has no dimension.
    ValueError
        If there is none, they differ, or one that is not the last ends inside a ciphertext.
    InvalidCiphertextError
        If they are encrypted under different keys.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.paillier import Packing, generate_keypair
    >>> public, private = generate_keypair(256, insecure=True)
    >>> packing = Packing()
    >>> packing.slots(256)
    7
    >>> whole = public.encrypt(np.linspace(0, 1, 9), packing)
    >>> whole[:7].shape, concatenate([whole[:7], whole[7:]]).shape
    ((7,), (9,))
    """
    parts = list(arrays)
    if not parts:
        raise ValueError("nothing to concatenate")
    first = parts[0]
    for part in parts:
        _check_related(first, part)
        if not part.shape:
            raise TypeError("arrays without dimensions cannot be concatenated")
        if part.shape[1:] != first.shape[1:]:
            raise ValueError(f"the shapes {first.shape} and {part.shape} differ beyond the first axis")
        if part.terms != first.terms:
            raise ValueError("the arrays are sums of different numbers of terms")
    slots = first.packing.slots(first.public.bits)
    filled = [part for part in parts if part.size]
    if any(part.size % slots for part in filled[:-1]):
        raise ValueError(f"all but the last must fill their ciphertexts, which hold {slots} values each")
    residues = first.public.group.decode(b"".join(part.residues.to_bytes() for part in filled))
    length = sum(part.shape[0] for part in parts)
    return first._replace(residues, terms=first.terms, shape=(length, *first.shape[1:]))


def _check_addable(first: EncryptedArray, other: object) -> None:
    """Refuse a term that cannot be added to the first one."""
    _check_related(first, other)
    if isinstance(other, EncryptedArray) and other.shape != first.shape:
        raise ValueError(f"the shapes {first.shape} and {other.shape} differ")


def _check_related(first: EncryptedArray, other: object) -> None:
    """Refuse an operand of another type, key, packing or context."""
    if not isinstance(other, EncryptedArray):
        raise TypeError(f"expected encrypted arrays, not {type(other).__name__}")
    if other.public != first.public:
        raise InvalidCiphertextError("the arrays are encrypted under different keys")
    if other.packing != first.packing:
        raise ValueError("the packings differ")
    if other.context != first.context:
        raise ValueError("the contexts differ")


def _as_weight(weight: SupportsIndex) -> int:
    """Take a non-negative integer of any integer type, and say why anything else is refused."""
    if isinstance(weight, (bool, np.bool_)):
        raise TypeError("multiply by an integer, not by a boolean")
    try:
        factor = operator.index(weight)
    except TypeError:
        raise TypeError(
            f"an encrypted array can be multiplied by an integer only, not by {type(weight).__name__}; "
            "scale real weights to integers, and divide after decryption"
        ) from None
    if factor < 0:
        raise ValueError("a weight must not be negative: encrypt the negated values in its place")
    return factor


def _extension(packing: Packing) -> bytes:
    """Return what version 2 of the header adds; empty for a packing that version 1 describes."""
    if packing.signed and not packing.headroom:
        return b""
    return _EXTENSION.pack(packing.signed, packing.headroom)


def _parse_header(view: memoryview) -> tuple[int, Packing, bytes, tuple[int, ...], bytes, int]:
    """Read terms, packing, fingerprint, shape and context; the last item is where the ciphertexts start."""
    if len(view) < _HEADER.size:
        raise FormatError("too short for the header")
    magic, version, bits, max_terms, terms, clip, fingerprint, ndim = _HEADER.unpack_from(view)
    if magic != _MAGIC:
        raise FormatError("not an encrypted array")
    if version not in (1, 2):
        raise FormatError(f"unknown version {version}")
    if ndim > _MAX_DIMENSIONS:
        raise FormatError("too many dimensions")
    shape_at = _HEADER.size + (_EXTENSION.size if version == 2 else 0)
    context_at = shape_at + 8 * ndim
    if len(view) <= context_at:
        raise FormatError("too short for the shape")
    signed, headroom = _EXTENSION.unpack_from(view, _HEADER.size) if version == 2 else (1, 0)
    if signed > 1 or (version == 2 and (signed, headroom) == (1, 0)):  # the latter is version 1
        raise FormatError("bad packing: not the one form of this packing")
    try:
        packing = Packing(clip, bits, max_terms, signed=bool(signed), headroom=headroom)
    except ValueError as error:
        raise FormatError(f"bad packing: {error}") from error
    if terms > max_terms:
        raise FormatError("more terms than the packing has room for")
    shape = struct.unpack_from(f">{ndim}Q", view, shape_at)
    if math.prod(max(side, 1) for side in shape) > _MAX_ELEMENTS:
        raise FormatError("the shape is too large")
    start = context_at + 1 + view[context_at]  # may lie beyond the end: then no length of the body matches
    return terms, packing, fingerprint, shape, bytes(view[context_at + 1 : start]), start
