"""The chaotic cipher, the maps, and what breaks and measures the published schemes."""

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

    params = (
        [
            "logistic",
            "tent",
            "piecewise",
            "sine",
            "henon",
            "cat",
            "cat3",
            "baker",
            "lorenz",
            "chen",
            "coupling",
            "lattice",
        ],
        [32, 64],
    )
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

    def time_lyapunov(self, name, bits):
        self.map.lyapunov(256)


class Attacks:
    """Chosen images against a scheme, the oracle's own work included: 64 x 64, or 16 x 16 for the linear ones."""

    params = (
        [
            "GaoChen",
            "YenGuo",
            "ChenMaoChui",
            "Ye",
            "Fridrich",
            "Fridrich, secret",
            "ChenMaoChui, 3 rounds",
            "HuaJinXuHuang",
        ],
    )
    param_names = ("scheme",)

    def setup(self, name):
        try:
            from medcrypt import attacks
            from medcrypt.images.chaotic import schemes
        except ImportError as missing:
            raise NotImplementedError from missing
        side = 16 if name.startswith(("Fridrich", "HuaJinXuHuang")) else 64
        if name == "Fridrich, secret":  # three rounds, and a device that decrypts
            table = bytes((i * i + 7 * i) % 256 for i in range(256))
            scheme = schemes.Fridrich((2, 8, 4, 2), 7, feedback=table)
            self.oracle = lambda: attacks.Oracle(scheme.decrypt, (side, side))
            self.attack = lambda oracle: attacks.influence(oracle, 3)
            return
        if name == "ChenMaoChui, 3 rounds":
            scheme = schemes.ChenMaoChui((1, 2, 3), (4, 5, 6), 0.3, 7, rounds=3)
            self.oracle = lambda: attacks.Oracle(scheme.decrypt, (27, 27))
            self.attack = lambda oracle: attacks.mixing_rounds(oracle, 3)
            return
        scheme = schemes.Fridrich.random(side) if name == "Fridrich" else getattr(schemes, name).random()
        self.attack = {
            "ChenMaoChui": attacks.mixing_shuffle,
            "Ye": attacks.bit_shuffle,
            "Fridrich": attacks.affine,
            "HuaJinXuHuang": attacks.affine,
        }.get(name, attacks.shuffle)
        self.oracle = lambda: attacks.Oracle(scheme.encrypt, (side, side))
        self.attack(self.oracle())  # the scheme's schedule is computed once

    def time_recover(self, name):
        self.attack(self.oracle())


class Statistics:
    """The whole report of an image beside its ciphertext."""

    params = ([512, 2048], ["u1", "<u2"])
    param_names = ("side", "dtype")

    def setup(self, side, dtype):
        try:
            from medcrypt import SecretKey
            from medcrypt.images import chaotic, statistics
        except ImportError as missing:
            raise NotImplementedError from missing
        y, x = np.mgrid[:side, :side]
        self.image, self.statistics = (x * y // 7 + x).astype(dtype), statistics
        self.cipher = chaotic.encrypt(self.image, SecretKey.generate(), authenticated=False).pixels

    def time_report(self, side, dtype):
        self.statistics.report(self.image, self.cipher)
