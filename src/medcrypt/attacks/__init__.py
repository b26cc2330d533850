"""What an adversary can do: attacks that run, for tests, studies and teaching.

Against image ciphers whose key does not change with the image (`medcrypt.images.chaotic.schemes`), given an `Oracle`
that encrypts under a key nobody sees: `shuffle`, `mixing_shuffle`, `bit_shuffle`, `feedback` and `affine` choose
images and return an `EquivalentKey`, which decrypts without being the key; so do `influence` and
`mixing_rounds`, given an oracle that decrypts. `xor_mask`, `dna_rules` and `yen_guo_key`
need a known image or two, as does `try_keys` among few keys; `periodic_mask` needs a part of one. `orbit_period` and
`orbit_divergence` show what finite precision does to chaos. `chance` says how many pixels a guess gets right.
"""

from medcrypt.attacks.bit_planes import mixing_rounds
from medcrypt.attacks.chosen_ciphertext import influence
from medcrypt.attacks.chosen_plaintext import (
    EquivalentKey,
    affine,
    bit_shuffle,
    feedback,
    mixing_shuffle,
    shuffle,
)
from medcrypt.attacks.finite_precision import Period, orbit_divergence, orbit_period
from medcrypt.attacks.known_plaintext import dna_rules, periodic_mask, try_keys, xor_mask, yen_guo_key
from medcrypt.attacks.oracle import Oracle, chance, recovered

__all__ = [
    "EquivalentKey",
    "Oracle",
    "Period",
    "affine",
    "bit_shuffle",
    "chance",
    "dna_rules",
    "feedback",
    "influence",
    "mixing_rounds",
    "mixing_shuffle",
    "orbit_divergence",
    "orbit_period",
    "periodic_mask",
    "recovered",
    "shuffle",
    "try_keys",
    "xor_mask",
    "yen_guo_key",
]
