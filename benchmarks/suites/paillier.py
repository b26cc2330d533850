"""Paillier: one packed array from one party, at the size of key that is the default."""

import numpy as np


class PackedArray:
    """650 model weights (the demo's softmax), 3072-bit key."""

    timeout = 300

    def setup_cache(self):
        """Make the key once: its primes cost more than what is measured."""
        try:
            from medcrypt import paillier

            public, private = paillier.generate_keypair(bits=3072)
            return public.to_bytes(), private.to_bytes()
        except (ImportError, AttributeError):
            return ()

    def setup(self, keys):
        if not keys:
            raise NotImplementedError
        from medcrypt import paillier

        self.paillier = paillier
        self.public = paillier.PublicKey.from_bytes(keys[0])
        self.private = paillier.PrivateKey.from_bytes(keys[1])
        self.weights = np.linspace(-1.0, 1.0, 650)
        self.packing = paillier.Packing(clip=8.0, bits=32, max_terms=10)
        self.encrypted = self.public.encrypt(self.weights, self.packing)

    def time_encrypt(self, keys):
        self.public.encrypt(self.weights, self.packing)

    def time_decrypt(self, keys):
        self.private.decrypt(self.encrypted)

    def time_add_ten(self, keys):
        self.paillier.add([self.encrypted] * 10)

    def time_parse(self, keys):
        self.paillier.EncryptedArray.from_bytes(self.encrypted.to_bytes(), self.public)
