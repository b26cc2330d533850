"""The chaotic cipher, and the maps."""

import numpy as np


class Chaotic:
    """Sealed images under either variant."""

    params = (["chaotic", "chaotic-ctr"], [(64, 64), (512, 512), (32, 512, 512)])
    param_names = ("cipher", "shape")

    def setup(self, cipher, shape):
        try:
            from medcrypt import SecretKey, images

            self.images, self.key = images, SecretKey.generate()
            self.array = np.arange(np.prod(shape), dtype=np.uint32).astype(np.uint8).reshape(shape)
            self.sealed = images.encrypt(self.array, self.key, cipher=cipher)
        except (ImportError, AttributeError, ValueError) as missing:
            raise NotImplementedError from missing

    def time_encrypt(self, cipher, shape):
        self.images.encrypt(self.array, self.key, cipher=cipher)

    def time_decrypt(self, cipher, shape):
        self.images.decrypt(self.sealed, self.key)

    def peakmem_encrypt(self, cipher, shape):
        self.images.encrypt(self.array, self.key, cipher=cipher)


class Maps:
    """64 steps of 4096 lanes."""

    params = (["logistic", "sine", "henon", "lorenz", "lattice"], [32, 64])
    param_names = ("map", "bits")

    def setup(self, name, bits):
        try:
            from medcrypt.images.chaotic import maps
        except ImportError as missing:
            raise NotImplementedError from missing
        self.map = maps.Map(name, bits=bits)
        self.start = self.map.start(4096)

    def time_orbit(self, name, bits):
        self.map.orbit(self.start, 1, every=64)
