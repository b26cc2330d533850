"""What one party of a threshold key holds: its share, in memory and on disk, and what it computes with it."""

import hmac
import os
import struct
from pathlib import Path
from typing import NoReturn

from medcrypt._ext import bignum
from medcrypt.durable import new_file
from medcrypt.errors import InvalidCiphertextError, InvalidKeyError
from medcrypt.keys import Passphrase, files
from medcrypt.paillier.arrays import EncryptedArray
from medcrypt.paillier.threshold.equality import prove
from medcrypt.paillier.threshold.partial import PartialDecryption, check_context, digest_of, statement_of
from medcrypt.paillier.threshold.public_key import ThresholdPublicKey

__all__ = ["KeyShare"]

_MAGIC, _VERSION = b"MCTS", 1
_HEADER = struct.Struct(">4sBB32s")  # magic, version, party, fingerprint of the threshold key
_FILE_KIND = "paillier-key-share"  # of a key file under a passphrase
_LONGEST = 1 << 14


class KeyShare:
    """One party's share of a threshold key: alone it decrypts nothing.

    Made by `deal_threshold_key`, `generate_threshold_key`, `from_bytes` and `load`. It refuses pickling; `repr`
    shows the party and the fingerprint of the public key. The share is kept in one buffer that is wiped with the
    object; the integers that Python computes with cannot be.

    Parameters
    ----------
    public
        The threshold key.
    party
        Whose share it is, counted from 1.
    share
        s_i, positive. Secret.

    Raises
    ------
    InvalidKeyError
        If there is no such party, or the share is too long or does not match the party's verification key.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, combine, deal_threshold_key
    >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
    >>> total = public.encrypt([1.0, -2.0], Packing(clip=2.0))
    >>> parts = [share.partial_decrypt(total) for share in shares[1:]]
    >>> combine(total, parts).round(6)
    array([ 1., -2.])
    """

    def __init__(self, public: ThresholdPublicKey, party: int, share: int) -> None:
        if not 1 <= party <= public.parties:
            raise InvalidKeyError("there is no such party")
        if not 0 < share < 1 << public.share_bits:
            raise InvalidKeyError("not a share of this key")
        self._public = public
        self._party = party
        self._share = bytearray(share.to_bytes(_share_bytes(public), "big"))
        self._check()

    def _check(self) -> None:
        """Compare with the verification key, where there is one: v_i = v^(D s_i)."""
        verification = self._public.verification
        if verification is None:
            return
        exponent = self._exponent(self._public.delta)
        (found,) = self._public.group.secret_power([verification.base], exponent)
        bignum.wipe(exponent)
        if found != verification.of(self._party):
            raise InvalidKeyError("not a share of this key")

    @classmethod
    def _of_dealer(cls, public: ThresholdPublicKey, party: int, share: int) -> "KeyShare":
        """Take a share that the verification key was just computed from."""
        made = cls.__new__(cls)
        made._public, made._party = public, party
        made._share = bytearray(share.to_bytes(_share_bytes(public), "big"))
        return made

    @property
    def public(self) -> ThresholdPublicKey:
        """The threshold key."""
        return self._public

    @property
    def party(self) -> int:
        """Whose share it is, counted from 1."""
        return self._party

    def partial_decrypt(self, total: EncryptedArray, *, context: bytes = b"") -> PartialDecryption:
        """Compute this party's part of a decryption, with a proof.

        **This is a decryption oracle**: with `threshold` such answers anybody reads the array, whatever it is.
        A holder calls it only for an array that is meant to be opened: an aggregate that it checked
        itself. `medcrypt.aggregation` does so.

        Parameters
        ----------
        total
            The encrypted array.
        context
            Up to 255 bytes that the proof is bound to, such as the identity of a round.

        Returns
        -------
        PartialDecryption
            c^(2 D s_i) mod n^2 for every ciphertext, and one proof for all of them, if the key has
            verification keys.

        Raises
        ------
        TypeError
            If it is not an encrypted array.
        InvalidCiphertextError
            If it is encrypted under another key, or a ciphertext is not a unit modulo n^2.
        ValueError
            If the context is too long, or the share was wiped.

        Examples
        --------
        See the class.
        """
        public, verification, bound = self._public, self._public.verification, check_context(context)
        if not isinstance(total, EncryptedArray):
            raise TypeError(f"expected an EncryptedArray, not {type(total).__name__}")
        if total.public != public:
            raise InvalidCiphertextError("the array is encrypted under another key")
        xs = public.group.residues(total.residues)
        if not public.group.are_units(xs):
            raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
        exponent = self._exponent(2 * public.delta)
        ys = public.group.secret_power(xs, exponent)
        bignum.wipe(exponent)
        digest, proof = digest_of(total), None
        if verification is not None:
            statement = statement_of(public, verification, self._party, xs, ys, digest, bound)
            proof = prove(statement, public.delta * self._integer(), public.witness_bits)
        return PartialDecryption(public, self._party, ys, digest, proof, bound)

    def _integer(self) -> int:
        """Return the share as an integer."""
        if not any(self._share):  # no share is zero, but for a chance of 1 in n
            raise ValueError("the share was wiped")
        return int.from_bytes(self._share, "big")

    def _exponent(self, factor: int) -> bytearray:
        """Return factor s_i, big-endian, in a length that does not depend on the share. Whoever takes it wipes it."""
        width = -(-(self._public.share_bits + factor.bit_length()) // 8)
        return bytearray((factor * self._integer()).to_bytes(width, "big"))

    def to_bytes(self) -> bytes:
        """Return the **secret** share in the format that `docs/formats/threshold.md` specifies. Not encrypted.

        Returns
        -------
        bytes
            38 bytes of header and the share.

        Examples
        --------
        >>> from medcrypt.paillier import deal_threshold_key
        >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
        >>> KeyShare.from_bytes(shares[2].to_bytes(), public) == shares[2]
        True
        """
        header = _HEADER.pack(_MAGIC, _VERSION, self._party, self._public.threshold_fingerprint)
        return header + bytes(self._share)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, public: ThresholdPublicKey) -> "KeyShare":
        """Read a share and check it.

        Parameters
        ----------
        data
            What `to_bytes` made.
        public
            The threshold key that it must be a share of.

        Returns
        -------
        KeyShare
            The share.

        Raises
        ------
        InvalidKeyError
            If the bytes are no share, or one of another key, or the share does not match its verification
            key.

        Examples
        --------
        See `to_bytes`.
        """
        view = memoryview(data).cast("B")
        if len(view) < _HEADER.size:
            raise InvalidKeyError("too short for a key share")
        magic, version, party, key = _HEADER.unpack_from(view)
        if magic != _MAGIC or version != _VERSION:
            raise InvalidKeyError("not a key share of this version")
        if key != public.threshold_fingerprint:
            raise InvalidKeyError("a share of another key")
        if len(view) != _HEADER.size + _share_bytes(public):
            raise InvalidKeyError("the length does not match the key")
        return cls(public, party, int.from_bytes(view[_HEADER.size :], "big"))

    def save(self, path: str | os.PathLike[str], *, passphrase: Passphrase | str | None = None) -> None:
        """Write the share to a new file that only its owner can read (mode 0600).

        Parameters
        ----------
        path
            Where to; nothing may be there yet.
        passphrase
            Protect the file with it (scrypt, AES-256-GCM: the key files of `medcrypt.keys`). Without one the
            file is `to_bytes()`.

        Raises
        ------
        FileExistsError
            If the path exists.

        Examples
        --------
        >>> import tempfile
        >>> from medcrypt.paillier import deal_threshold_key
        >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     shares[0].save(folder + "/share")
        ...     KeyShare.load(folder + "/share", public) == shares[0]
        True
        """
        if passphrase is not None:
            files.save(path, _FILE_KIND, self.to_bytes(), self._public.threshold_fingerprint[:8], passphrase)
            return
        with new_file(path, mode=0o600) as file:
            file.write(self.to_bytes())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        public: ThresholdPublicKey,
        *,
        passphrase: Passphrase | str | None = None,
    ) -> "KeyShare":
        """Read a share that `save` wrote.

        Parameters
        ----------
        path
            The file.
        public
            The threshold key that it must be a share of.
        passphrase
            Needed where the file is protected by one.

        Returns
        -------
        KeyShare
            The share.

        Raises
        ------
        InvalidKeyError
            If the file holds no valid share of the key, or needs a passphrase.
        AuthenticationError
            If the passphrase is wrong or the file was changed.
        OSError
            If it cannot be read.

        Examples
        --------
        See `save`.
        """
        with Path(path).open("rb") as file:
            data = file.read(_LONGEST)
        if not data.startswith(_MAGIC):
            kind, data = files.load(path, passphrase)
            if kind != _FILE_KIND:
                raise InvalidKeyError("the file does not hold a key share")
        return cls.from_bytes(data, public)

    def wipe(self) -> None:
        """Overwrite the share with zeros; the object refuses to decrypt afterwards."""
        bignum.wipe(self._share)

    def __del__(self) -> None:
        if (share := getattr(self, "_share", None)) is not None:
            share[:] = bytes(len(share))  # the kernels may be gone when the interpreter ends

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeyShare):
            return NotImplemented
        return hmac.compare_digest(self.to_bytes(), other.to_bytes())

    def __hash__(self) -> int:
        return hash((KeyShare, self._public, self._party))

    def __repr__(self) -> str:
        return f"KeyShare(party={self._party}, key='{self._public.fingerprint[:8].hex()}')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key share cannot be pickled or copied; pass a path to a worker process")


def _share_bytes(public: ThresholdPublicKey) -> int:
    """How many bytes hold a share."""
    return -(-public.share_bits // 8)
