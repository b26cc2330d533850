"""Sealing and opening at the sizes that imaging has: a thumbnail, a CT slice, a volume."""

import numpy as np


class Sealed:
    """`images.encrypt` and `images.decrypt`: the whole call, with header and key schedule."""

    params = ([(64, 64), (512, 512), (32, 512, 512)],)
    param_names = ("shape",)

    def setup(self, shape):
        try:
            from medcrypt import SecretKey, images

            self.encrypt, self.decrypt = images.encrypt, images.decrypt
        except (ImportError, AttributeError) as missing:
            raise NotImplementedError from missing
        self.key = SecretKey.generate()
        self.array = np.arange(np.prod(shape), dtype=np.uint32).astype(np.uint16).reshape(shape)
        self.sealed = self.encrypt(self.array, self.key)

    def time_encrypt(self, shape):
        self.encrypt(self.array, self.key)

    def time_decrypt(self, shape):
        self.decrypt(self.sealed, self.key)

    def peakmem_encrypt(self, shape):
        self.encrypt(self.array, self.key)


class Cobblestone:
    """The chunked format alone, on 8 KiB, 512 KiB and 16 MiB."""

    params = ([1 << 13, 1 << 19, 1 << 24],)
    param_names = ("bytes",)

    def setup(self, size):
        try:
            from medcrypt.images import cobblestone
        except ImportError as missing:
            raise NotImplementedError from missing
        self.cobblestone = cobblestone
        self.key = bytes(range(32))
        self.data = bytes(size)
        self.blob = cobblestone.encrypt(self.key, self.data)

    def time_encrypt(self, size):
        self.cobblestone.encrypt(self.key, self.data)

    def time_decrypt(self, size):
        self.cobblestone.decrypt(self.key, self.blob)
