"""The public interface of python-phe, on the keys and the arithmetic of this library.

``from medcrypt.paillier import phe`` takes the place of ``import phe``: same classes, same methods, same
exceptions, same exponents, and keys and ciphertexts that cross in both directions. It was written from
python-phe's documentation and observable behaviour; no code of it is in here.

What differs, always to the safe side:

* Keys of less than 2048 bits need ``insecure=True`` or ``MEDCRYPT_ALLOW_INSECURE_KEYS=1``.
* A ciphertext that is no unit modulo n^2 is refused (`medcrypt.errors.InvalidCiphertextError`).
* Private keys refuse pickling, and their primes are tested.
* numpy's integers and floats are numbers.
* Keys generated here encrypt with short exponents; every other n, and every given ``r_value``, uses r^n.
  `EncryptedNumber.obfuscate` always draws a uniform r, because its result often goes to the key holder.

The exponent beside each number is public and shows its magnitude. `medcrypt.paillier.EncryptedArray` has one
scale for all values, is about a hundred times smaller, and much faster: prefer it for arrays.
"""

from medcrypt.paillier.phe import encoding, paillier
from medcrypt.paillier.phe.encoding import EncodedNumber
from medcrypt.paillier.phe.paillier import (
    DEFAULT_KEYSIZE,
    EncryptedNumber,
    PaillierPrivateKey,
    PaillierPrivateKeyring,
    PaillierPublicKey,
    generate_paillier_keypair,
)

__version__ = "1.5.0"  # the version of python-phe whose interface this is

__all__ = [
    "DEFAULT_KEYSIZE",
    "EncodedNumber",
    "EncryptedNumber",
    "PaillierPrivateKey",
    "PaillierPrivateKeyring",
    "PaillierPublicKey",
    "encoding",
    "generate_paillier_keypair",
    "paillier",
]
