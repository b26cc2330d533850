"""Threshold keys: any t of n parties decrypt together, and t - 1 of them learn nothing.

* `public_key`: what everybody knows, with a verification key for every party.
* `sharing`: a dealer splits the secret exponent, and forgets it.
* `key_share`: what one party holds, its file, and partial decryption.
* `equality`: the proof that a whole batch of partial decryptions was made with the share.
* `partial`: a partial decryption as it travels.
* `combining`: t partial decryptions become the sum, and a cheating party is named.
* `lagrange`: interpolation in the exponent, in integers.
* `lengths`: how long masks and shares are.
* `generation`: the same without a dealer.

The scheme is that of Damgård, Jurik and Nielsen (Int. J. Inf. Secur. 9, 2010, section 4), after Shoup (EUROCRYPT
2000). Why it is sound is written in docs/explanation/threshold.md.
"""

from medcrypt.paillier.threshold.combining import combine, combine_integers, combine_verified, sift
from medcrypt.paillier.threshold.generation import CommitteeMember, generate_threshold_key
from medcrypt.paillier.threshold.key_share import KeyShare
from medcrypt.paillier.threshold.partial import PartialDecryption
from medcrypt.paillier.threshold.public_key import ThresholdPublicKey, VerificationKeys
from medcrypt.paillier.threshold.sharing import deal_threshold_key

__all__ = [
    "CommitteeMember",
    "KeyShare",
    "PartialDecryption",
    "ThresholdPublicKey",
    "VerificationKeys",
    "combine",
    "combine_integers",
    "combine_verified",
    "deal_threshold_key",
    "generate_threshold_key",
    "sift",
]
