"""Masks: seconds for a client's masks and for the shares of its secrets. Homomorphic: an upload and its checks."""

import os


class Masks:
    """A million values under the masks of so many neighbours."""

    params = ((10, 50), (32, 48))
    param_names = ("neighbours", "bits")

    def setup(self, neighbours, bits):
        try:
            import numpy as np

            from medcrypt.aggregation import masks
        except ImportError as missing:
            raise NotImplementedError from missing
        self.masks = masks
        self.words = masks.words_of(np.zeros(1_000_000, np.int64), bits)
        self.keys = [os.urandom(32) for _ in range(neighbours)]

    def time_masks(self, neighbours, bits):
        self.masks.apply_masks(self.words, self.keys, [])


class Shares:
    """Seed and mask key shared among so many holders, and a hundred secrets put together."""

    params = (10, 47, 200)
    param_names = ("holders",)

    def setup(self, holders):
        try:
            from medcrypt.aggregation import shamir
        except ImportError as missing:
            raise NotImplementedError from missing
        self.shamir = shamir
        self.points = list(range(1, holders + 1))
        self.threshold = holders // 2 + 1
        self.shares = shamir.split(bytes(32), self.points, self.threshold)

    def time_split(self, holders):
        self.shamir.split(bytes(64), self.points, self.threshold)

    def time_combine(self, holders):
        chosen, shares = self.points[: self.threshold], self.shares[: self.threshold]
        self.shamir.combine([chosen] * 100, [shares] * 100)


class Uploads:
    """A hundred thousand values of 16 bits under a key of 2048 bits."""

    params = (False, True)
    param_names = ("proofs",)

    def setup(self, proofs):
        try:
            import numpy as np

            from medcrypt import aggregation, paillier
        except ImportError as missing:
            raise NotImplementedError from missing
        self.aggregation = aggregation
        self.public, _ = paillier.generate_keypair(2048)
        self.plan = aggregation.Plan(
            clients=2, threshold=2, clip=1.0, bits=16, shapes={"w": (100_000,)}, proofs=proofs
        )
        self.update = {"w": np.linspace(-1.0, 1.0, 100_000)}
        self.upload = self._encrypt()

    def _encrypt(self):
        return self.aggregation.HomomorphicClient(self.plan, self.public, "a").encrypt(self.update)

    def time_client(self, proofs):
        self._encrypt()

    def time_server(self, proofs):
        self.aggregation.HomomorphicServer(self.plan, self.public).receive(self.upload)
