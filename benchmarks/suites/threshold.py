"""Threshold Paillier: one party's part of a small update, and the combination, at the default size of key."""

import numpy as np


class SmallUpdate:
    """650 model weights (the demo's softmax), 3072-bit key, three of five parties."""

    timeout = 300

    def setup_cache(self):
        """Deal the key once: its safe primes cost more than what is measured."""
        try:
            from medcrypt import paillier

            public, shares = paillier.deal_threshold_key(parties=5, threshold=3)
            return public.to_bytes(), [share.to_bytes() for share in shares]
        except (ImportError, AttributeError):
            return ()

    def setup(self, keys):
        if not keys:
            raise NotImplementedError
        from medcrypt import paillier

        self.paillier = paillier
        self.public = paillier.ThresholdPublicKey.from_bytes(keys[0])
        self.shares = [paillier.KeyShare.from_bytes(share, self.public) for share in keys[1][:3]]
        packing = paillier.Packing(clip=8.0, bits=32, max_terms=10)
        self.total = self.public.encrypt(np.linspace(-1.0, 1.0, 650), packing)
        self.parts = [share.partial_decrypt(self.total) for share in self.shares]

    def time_partial_decrypt(self, keys):
        self.shares[0].partial_decrypt(self.total)

    def time_verify(self, keys):
        self.parts[0].verify(self.total)

    def time_combine(self, keys):
        self.paillier.combine(self.total, self.parts)

    def time_read_key(self, keys):
        self.paillier.ThresholdPublicKey.from_bytes(keys[0])
