"""Private inference: the kernels of function secret sharing, and both servers of a small model in one process."""

import os

import numpy as np


class SharedFunctions:
    """Batches of 16,384 comparisons and point functions."""

    params = (["comparison", "point"], [32, 64])
    param_names = ("kind", "bits")

    def setup(self, kind, bits):
        try:
            from medcrypt._ext.dcf import SharedFunction
        except ImportError as error:
            raise NotImplementedError from error
        count = 16_384
        self.function = SharedFunction(kind, bits, bits // 8, os.urandom(16))
        self.alpha, self.beta, self.x = (
            np.frombuffer(os.urandom(8 * count), np.uint64) >> np.uint64(64 - bits) for _ in range(3)
        )
        self.keys = [np.empty(self.function.key_size(count), np.uint8) for _ in range(2)]
        self.roots = np.frombuffer(os.urandom(32 * count), np.uint8)
        self.values = np.empty(count, np.uint64)
        self.time_key_pairs(kind, bits)

    def time_key_pairs(self, kind, bits):
        self.function.generate(self.alpha, self.beta, self.roots, *self.keys)

    def time_evaluate(self, kind, bits):
        self.function.evaluate(0, self.keys[0], self.x, self.values)


class Perceptron:
    """64-64-10, argmax included; what the dealer does, and what both servers do, for a batch."""

    params = ([1, 100],)
    param_names = ("batch",)

    def setup(self, batch):
        try:
            from medcrypt import inference
            from medcrypt.inference.sharing import together
        except ImportError as error:
            raise NotImplementedError from error
        generator = np.random.default_rng(0)
        shapes = ((64, 64), (64, 10))
        products = [(generator.standard_normal(shape) / 8, np.zeros(shape[1])) for shape in shapes]
        compiled = inference.Sequential.from_arrays(products, clip=1).compile()
        weights = compiled.share()
        self.together, self.preparation = together, inference.Preparation(compiled.circuit)
        self.servers = [
            inference.Evaluation(compiled.circuit, party, weights[party], self.preparation.hash_key)
            for party in range(2)
        ]
        parts = zip(*self.preparation.setup(), strict=True)
        together(*(server.setup(part) for server, part in zip(self.servers, parts, strict=True)))
        self.shares = compiled.circuit.encode(generator.uniform(-1, 1, (batch, 64)))
        self.materials = list(zip(*self.preparation.batch(batch), strict=True))

    def time_deal(self, batch):
        for _ in self.preparation.batch(batch):
            pass

    def time_both_servers(self, batch):
        runs = zip(self.servers, self.shares, self.materials, strict=True)
        self.together(*(server.run(share, part) for server, share, part in runs))


class LinearUnderPaillier:
    """A linear model of 30 features, 3072-bit key: the parts of one question."""

    timeout = 120

    def setup(self):
        from medcrypt import paillier
        from medcrypt.inference.linear import Form, LinearClient, LinearServer

        self.features = np.linspace(-1.0, 1.0, 30)
        self.public, private = paillier.generate_keypair()
        self.server = LinearServer(Form(30), self.features, 0.5, limit=None)
        self.client = LinearClient(self.server.form, private)
        self.query = self.client.query(self.features)

    def time_query(self):
        self.client.query(self.features)

    def time_answer(self):
        self.server.answer(self.query, self.public)
