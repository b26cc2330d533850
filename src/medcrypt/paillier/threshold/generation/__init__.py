"""Threshold keys without a dealer: a committee makes n together, and nobody ever knows its factors.

* `member`: one party as a state machine that takes and gives messages; the protocol from top to bottom.
* `candidates`: shares of candidate primes, trial division, and the biprimality test.
* `ring_sharing`: Shamir's shares modulo an integer, and over the integers.
* `messages`: what a message's bytes are.
* `committee`: all members in one process.

The protocol is that of Boneh and Franklin (J. ACM 48, 2001) for n, with the shares of the exponent that Nishide and
Sakurai (WISA 2010) make over the integers, as Veugen, Attema and Spini (IACR ePrint 2019/1136) put the
two together. It is secure against **semi-honest** parties, fewer than half of them. Why is written in
docs/explanation/threshold.md.
"""

from medcrypt.paillier.threshold.generation.committee import generate_threshold_key
from medcrypt.paillier.threshold.generation.member import CommitteeMember

__all__ = ["CommitteeMember", "generate_threshold_key"]
