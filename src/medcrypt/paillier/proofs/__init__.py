"""Proofs that a key is what it should be, for those who did not see it being made.

* `blum`: n is the product of exactly two primes, both 3 modulo 4, and gcd(n, phi(n)) = 1. Whoever verified it
  may encrypt with short exponents.
* `RingPedersen`: the parameters of a verifier, with a proof that commitments under them hide.
* `factors`: n has no small factor, proved against the parameters of the verifier.

And one about ciphertexts:

* `plaintexts`: their sender knows what is in each of them.

The first three are Pi-mod, Pi-prm and Pi-fac of Canetti, Gennaro, Goldfeder, Makriyannis and Peled (CGGMP21,
IACR ePrint 2021/060, figures 16, 17 and 28). All are made non-interactive by Fiat and Shamir's transform over
`transcript`. Each is bound to a context of the caller and cannot be replayed for another key, another context
or, for `factors`, other parameters. The usual way in is `PrivateKey.prove` and `PublicKey.verify`; for
`plaintexts` it is `encrypt_integers_and_prove` and `EncryptedArray.verify_plaintexts_known`.
"""

from medcrypt.paillier.proofs.ring_pedersen import RingPedersen

__all__ = ["RingPedersen"]
