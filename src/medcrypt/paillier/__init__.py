"""Paillier encryption of arrays: sums and integer multiples of values that stay encrypted.

Use it to add up updates of several parties where the one who adds must not read them. `generate_keypair`
makes the two halves of a key, `Packing` says how many bits a value has and how many terms fit,
`EncryptedArray` is what travels. Decryption is exact: the same integers that numpy would have summed.

`deal_threshold_key` splits the private half among parties, so that no one of them decrypts alone: each makes a
`partial_decrypt`ion with its `KeyShare`, and `combine` makes the sum of enough of them. `generate_threshold_key`
does so without a dealer who would see the whole.

`linear_algebra` multiplies encrypted vectors by plain matrices, `proofs` holds what convinces others that a key
was made well, and `phe` is the interface of python-phe.

Whoever holds the `PrivateKey` can decrypt every single upload, not only the sum. Keep it with a party that
receives nothing but sums.
"""

from medcrypt.paillier import linear_algebra, phe, proofs
from medcrypt.paillier.arrays import EncryptedArray, add, concatenate
from medcrypt.paillier.encryption import EncryptionKey
from medcrypt.paillier.keys import PrivateKey, PublicKey, generate_keypair
from medcrypt.paillier.packing import Packing
from medcrypt.paillier.threshold import (
    CommitteeMember,
    KeyShare,
    PartialDecryption,
    ThresholdPublicKey,
    combine,
    combine_integers,
    deal_threshold_key,
    generate_threshold_key,
    sift,
)

__all__ = [
    "CommitteeMember",
    "EncryptedArray",
    "EncryptionKey",
    "KeyShare",
    "Packing",
    "PartialDecryption",
    "PrivateKey",
    "PublicKey",
    "ThresholdPublicKey",
    "add",
    "combine",
    "combine_integers",
    "concatenate",
    "deal_threshold_key",
    "generate_keypair",
    "generate_threshold_key",
    "linear_algebra",
    "phe",
    "proofs",
    "sift",
]
