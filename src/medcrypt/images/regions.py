"""Regions of interest: encrypted in place, so that an image stays an image.

Pixels inside the regions become other pixels of the same range (`medcrypt.images.format_preserving`), the others stay
as they are, and a *sidecar* of some hundred bytes holds what restores them. Encryption without expansion leaves no
room for a tag in the image, and a changed pixel would decrypt to a changed pixel; so the tag is in the sidecar,
covers the whole image by default, and is checked before anything is decrypted:

    tag = HMAC-SHA-512(GMAC(block 0) || GMAC(block 1) || ...),  blocks of 2^16 pixels

with keys that depend on the file key, the header (type, shape, range, outlines) and the caller's context. The keys are
new for each call, and so the GMAC nonces, which count the blocks, never repeat. HMAC commits to the key, which GMAC
alone would not.

Every byte is specified in ``docs/formats/regions.md``.
"""

from __future__ import annotations

import hmac
import math
import operator
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt._ext.aes import AesGcm
from medcrypt.errors import AuthenticationError
from medcrypt.images import recipients
from medcrypt.images.format_preserving import PIECE, Draws, Shift
from medcrypt.images.header import MOST_AXES
from medcrypt.images.outlines import MOST_OUTLINES, Outline, as_outlines, pixels_of
from medcrypt.images.recipients import OpeningKey, SealingKey
from medcrypt.images.runs import Runs, union
from medcrypt.images.sidecar import MOST_HEADER, NONCE_BYTES, TAG_BYTES, Sidecar, is_pixel_type, parse, widest
from medcrypt.keys.derivation import expand

__all__ = ["decrypt_regions", "encrypt_regions"]

_LABEL = b"medcrypt/v1/regions"
_KEY_BYTES = 32
_TAG_BLOCK = 1 << 16  # pixels
_GMAC_NONCE = struct.Struct("<QI")  # number of the block, 0


def encrypt_regions(
    array: ArrayLike,
    regions: Any,
    key: SealingKey | Iterable[SealingKey],
    value_range: tuple[int, int] | None = None,
    context: bytes = b"",
    *,
    bit_patterns: bool = False,
    bind_outside: bool = True,
    apart: Any = None,
    out: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], bytes]:
    """Encrypt regions of an image and leave a valid image of the same dtype and shape.

    Each pixel of the union of the regions becomes ``(p - lo + k) mod (hi - lo + 1) + lo``, with k drawn uniformly
    and anew for each pixel and each call; the pixels outside stay as they are.

    Parameters
    ----------
    array
        Booleans or integers of any shape, byte order and strides; floats with ``bit_patterns``.
    regions
        A region or a list of them; an empty list is fine. A region is

        - an index as between brackets, of slices, integers and ``...``, or a tuple of (start, stop) pairs: a
          rectangle;
        - a list, or an array of shape (n, 2), of (row, column) vertices, or a `Polygon`: in the last two axes;
        - a boolean array with the shape of the last axes: a mask, repeated over the leading axes.
    key
        Who can restore the regions: a `SecretKey`, a `Recipient`, a list of them, or one `Passphrase`.
    value_range
        (lo, hi), the least and the largest value that a pixel may have, both included: ``(0, 4095)`` where DICOM's
        BitsStored is 12. By default the range of the dtype. It is visible; never take it from the pixels.
    context
        Bound to the regions but not stored: decryption needs the same bytes (a SOP instance UID, say).
    bit_patterns
        Encrypt floats as the integers that have their bits. The regions then hold any float, NaN and infinity
        included, so that viewers may scale them badly.
    bind_outside
        Whether a changed pixel outside of the regions is refused too. Without it such pixels may be edited, and
        regions can be moved into another image of the same shape.
    apart
        Regions of this image that other keys encrypt, before or after, given as regions or as their sidecars. They are
        left out of what is authenticated here, so that each can be restored before the others. Regions under
        different keys must not overlap.
    out
        Write the image there: a C-contiguous array of the same dtype and shape that does not overlap ``array``, or
        ``array`` itself. After an error it holds the image as it was, or what it held before.

    Returns
    -------
    array2 : ndarray
        The image, C-contiguous, of the same dtype and shape: ``out``, or a new array.
    sidecar : bytes
        What `decrypt_regions` needs. The outlines can be read in it, and where they lie can often be seen in the image
        itself: they do not hide where something was found.

    Raises
    ------
    ValueError
        A pixel of the regions is outside of ``value_range``, or the range outside of the dtype's; a region does not fit
        the array, or overlaps one that is apart. Nothing is returned.
    TypeError
        Arrays, regions or keys of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey
    >>> key = SecretKey.generate()
    >>> scan = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    >>> safe, sidecar = encrypt_regions(scan, [np.s_[10:20, 8:30]], key, value_range=(0, 4095))
    >>> safe.dtype, bool((safe[20:] == scan[20:]).all()), int(safe.max()) <= 4095
    (dtype('uint16'), True, True)
    >>> bool((decrypt_regions(safe, sidecar, key) == scan).all())
    True
    """
    if not isinstance(context, bytes | bytearray | memoryview):
        raise TypeError(f"the context must be bytes, not {type(context).__name__}")
    source = _as_pixels(array, bit_patterns)
    lo, hi = _checked_range(value_range, source.dtype)
    keys = recipients.as_recipients(key)
    sidecar = Sidecar(
        dtype=source.dtype,
        shape=source.shape,
        lo=lo,
        hi=hi,
        nonce=os.urandom(NONCE_BYTES),
        slot_size=recipients.slot_size(keys, spare=0),
        outside_bound=bool(bind_outside),
        regions=as_outlines(regions, source.shape),
        apart=() if apart is None else _apart(apart, source.shape),
    )
    if len(sidecar.regions + sidecar.apart) > MOST_OUTLINES or len(sidecar.header) > MOST_HEADER:
        raise ValueError(f"more than {MOST_OUTLINES} regions, or {MOST_HEADER} bytes of outlines: use a mask")
    areas = _Areas.of(sidecar)
    if areas.overlap:
        raise ValueError("regions under different keys overlap")
    file_key = recipients.new_file_key()
    slot = recipients.make_slot(sidecar, 1, file_key, keys)
    secrets = _Secrets.derive(file_key, sidecar, bytes(context))
    pixels = _copied(source, out)
    if out is not None and not _holds(
        pixels, areas.inside, sidecar
    ):  # before anything of the caller's is changed
        raise ValueError(f"a pixel of the regions is outside of {lo} to {hi}")
    _encrypt(pixels, areas.inside, sidecar, secrets)
    return pixels, sidecar.header + slot + _tag(pixels, areas.covered, secrets)


def decrypt_regions(
    array: ArrayLike,
    sidecar: bytes | bytearray | memoryview,
    key: OpeningKey,
    context: bytes = b"",
    *,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Restore the regions that `encrypt_regions` encrypted.

    Parameters
    ----------
    array
        The image with its encrypted regions, of the dtype and shape that it had; any strides.
    sidecar
        As it was returned.
    key
        A `SecretKey`, `Identity` or `Passphrase` of one of the recipients.
    context
        What the regions were bound to.
    out
        As for `encrypt_regions`. Where it is ``array`` itself, nobody else may be writing to it.

    Returns
    -------
    ndarray
        The image, C-contiguous, of the same dtype and shape. Regions of other keys are as they were in ``array``.

    Raises
    ------
    AuthenticationError
        Wrong key, wrong context, another image, or any change to it or to the sidecar. Nothing is returned.
    FormatError
        The sidecar is not one.
    """
    if not isinstance(context, bytes | bytearray | memoryview):
        raise TypeError(f"the context must be bytes, not {type(context).__name__}")
    header, slot, tag = parse(_as_sidecar(sidecar))
    source = _as_array(array)
    file_key, *_ = recipients.open_slots(header, slot + bytes(header.slot_size), key)
    if source.dtype.str != header.dtype.str or source.shape != header.shape:
        raise AuthenticationError
    areas = _Areas.of(header)
    if areas.overlap:  # who encrypted it did not follow the format, and left encrypted pixels out of the tag
        raise AuthenticationError
    secrets = _Secrets.derive(file_key, header, bytes(context))
    # The copy is what is checked and what is decrypted: somebody else may be writing to the caller's array.
    pixels = _copied(source, out)
    if not hmac.compare_digest(tag, _tag(pixels, areas.covered, secrets)):
        raise AuthenticationError
    if out is not None and not _holds(pixels, areas.inside, header):
        raise AuthenticationError
    _decrypt(pixels, areas.inside, header, secrets)
    return pixels


@dataclass(frozen=True)
class _Areas:
    """The pixels that are encrypted, those that are authenticated, and whether other keys encrypt some of them."""

    inside: Runs
    covered: Runs
    overlap: bool

    @classmethod
    def of(cls, sidecar: Sidecar) -> Self:
        inside, apart = (pixels_of(outlines, sidecar.shape) for outlines in (sidecar.regions, sidecar.apart))
        overlap = apart.count > 0 and union([inside, apart]).count < inside.count + apart.count
        covered = apart.complement(math.prod(sidecar.shape)) if sidecar.outside_bound else inside
        return cls(inside, covered, overlap)


@dataclass(frozen=True, repr=False)
class _Secrets:
    """The keys of one call."""

    stream: bytes
    gmac: bytes
    tag: bytes

    @classmethod
    def derive(cls, file_key: bytes, sidecar: Sidecar, context: bytes) -> Self:
        output = expand(file_key, _LABEL + sidecar.digest + context, 3 * _KEY_BYTES)
        return cls(output[:_KEY_BYTES], output[_KEY_BYTES : 2 * _KEY_BYTES], output[2 * _KEY_BYTES :])


def _encrypt(pixels: NDArray[Any], inside: Runs, sidecar: Sidecar, secrets: _Secrets) -> None:
    """Encrypt in place, or raise ``ValueError`` halfway."""
    words, (shift, draws) = _as_words(pixels), _cipher(sidecar, secrets)
    for block in inside.blocks(PIECE):
        part = words[block].astype(words.dtype.newbyteorder("="), copy=False)
        if not shift.holds(part):
            raise ValueError(f"a pixel of the regions is outside of {sidecar.lo} to {sidecar.hi}")
        shift.add(part, draws.take(part.size))
        words[block] = part


def _decrypt(pixels: NDArray[Any], inside: Runs, sidecar: Sidecar, secrets: _Secrets) -> None:
    """Decrypt in place what has been authenticated."""
    words, (shift, draws) = _as_words(pixels), _cipher(sidecar, secrets)
    for block in inside.blocks(PIECE):
        part = words[block].astype(words.dtype.newbyteorder("="), copy=False)
        if not shift.holds(part):  # who encrypted it did not follow the format
            raise AuthenticationError
        shift.subtract(part, draws.take(part.size))
        words[block] = part


def _holds(pixels: NDArray[Any], inside: Runs, sidecar: Sidecar) -> bool:
    """Tell whether all pixels of the regions are in the range."""
    words, shift = _as_words(pixels), Shift(sidecar.dtype.itemsize, sidecar.lo, sidecar.hi)
    native = words.dtype.newbyteorder("=")
    return all(shift.holds(words[block].astype(native, copy=False)) for block in inside.blocks(PIECE))


def _copied(source: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    """Return the pixels where they can be changed: in a copy, or in ``out``."""
    if out is None:
        return np.array(source, order="C")
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out must be an array, not {type(out).__name__}")
    if out.dtype.str != source.dtype.str or out.shape != source.shape:
        raise ValueError("out must have the dtype and shape of the image")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError("out must be C-contiguous and writable")
    if out is not source:
        if np.shares_memory(out, source):
            raise ValueError("out overlaps the image")
        out[...] = source
    return out


def _cipher(sidecar: Sidecar, secrets: _Secrets) -> tuple[Shift, Draws]:
    width = sidecar.dtype.itemsize
    shift = Shift(width, sidecar.lo, sidecar.hi)
    return shift, Draws(secrets.stream, width, sidecar.hi - sidecar.lo + 1)


def _as_words(pixels: NDArray[Any]) -> NDArray[Any]:
    """View pixels as one row of unsigned integers of their byte order."""
    return pixels.reshape(-1).view(np.dtype(f"u{pixels.itemsize}").newbyteorder(pixels.dtype.byteorder))


def _tag(pixels: NDArray[Any], covered: Runs, secrets: _Secrets) -> bytes:
    """Return the tag of pixels, those of the regions being encrypted."""
    words, gmac, outer = _as_words(pixels), AesGcm(secrets.gmac), hmac.new(secrets.tag, digestmod="sha512")
    for number, block in enumerate(covered.blocks(_TAG_BLOCK)):
        outer.update(gmac.encrypt(_GMAC_NONCE.pack(number, 0), b"", words[block]))
    return outer.digest()[:TAG_BYTES]


def _as_array(array: ArrayLike) -> NDArray[Any]:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask: take its data")
    return np.asarray(array)


def _as_pixels(array: ArrayLike, bit_patterns: bool) -> NDArray[Any]:
    source = _as_array(array)
    if not is_pixel_type(source.dtype):
        raise TypeError(
            f"regions of dtype {source.dtype} cannot be encrypted: use booleans, integers or floats"
        )
    if source.dtype.kind == "f" and not bit_patterns:
        raise TypeError("floats have no range to keep: say bit_patterns=True, or encrypt the whole image")
    if source.ndim > MOST_AXES:
        raise ValueError(f"arrays of more than {MOST_AXES} axes cannot be encrypted")
    return source


def _checked_range(value_range: tuple[int, int] | None, dtype: np.dtype[Any]) -> tuple[int, int]:
    least, most = widest(dtype)
    if value_range is None:
        return least, most
    if dtype.kind == "f":
        raise ValueError("bit patterns of floats take the whole range")
    lo, hi = map(operator.index, value_range)
    if not least <= lo < hi <= most:
        raise ValueError(f"value_range must be (lo, hi) with {least} <= lo < hi <= {most}")
    return lo, hi


def _apart(apart: Any, shape: tuple[int, ...]) -> tuple[Outline, ...]:
    """Return the outlines of a region or sidecar, or of a list of them."""
    outlines: list[Outline] = []
    for one in apart if isinstance(apart, list) else [apart]:
        if isinstance(one, bytes | bytearray | memoryview):
            other, *_ = parse(bytes(one))
            if other.shape != shape:
                raise ValueError("a sidecar that is apart belongs to an image of another shape")
            outlines += other.regions
        else:
            outlines += as_outlines([one], shape)
    return tuple(outlines)


def _as_sidecar(sidecar: bytes | bytearray | memoryview) -> bytes:
    if not isinstance(sidecar, bytes | bytearray | memoryview):
        raise TypeError(f"the sidecar must be bytes, not {type(sidecar).__name__}")
    return bytes(sidecar)
