"""Archives, regions of interest, Zarr and NIfTI: whole calls at the sizes that imaging has."""

import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np


def _key():
    try:
        from medcrypt import SecretKey
    except ImportError as missing:
        raise NotImplementedError from missing
    return SecretKey.generate()


class Archive:
    """A folder of many small files, or of a few large ones."""

    params = ([(200, 1 << 14), (4, 1 << 24)],)
    param_names = ("files and bytes",)

    def setup(self, form):
        try:
            from medcrypt.images import decrypt_many, encrypt_many, verify_many
        except ImportError as missing:
            raise NotImplementedError from missing
        self.encrypt, self.decrypt, self.verify = encrypt_many, decrypt_many, verify_many
        self.key, self.base = _key(), Path(tempfile.mkdtemp())
        (self.base / "study").mkdir()
        for number in range(form[0]):
            (self.base / "study" / f"{number}.dcm").write_bytes(bytes(form[1]))
        self.encrypt(self.base / "study", self.key, self.base / "sealed")

    def teardown(self, form):
        shutil.rmtree(self.base)

    def time_encrypt(self, form):
        with tempfile.TemporaryDirectory(dir=self.base) as out:
            self.encrypt(self.base / "study", self.key, out)

    def time_decrypt(self, form):
        with tempfile.TemporaryDirectory(dir=self.base) as out:
            self.decrypt(self.base / "sealed", self.key, out)

    def time_verify(self, form):
        self.verify(self.base / "sealed", self.key)


class Regions:
    """Encrypting a part of a volume of 32 x 512 x 512 pixels of 12 bits."""

    params = (["rectangle", "polygon", "speckles"],)
    param_names = ("region",)

    def setup(self, kind):
        try:
            from medcrypt.images import Polygon, decrypt_regions, encrypt_regions
        except ImportError as missing:
            raise NotImplementedError from missing
        self.encrypt, self.decrypt, self.key = encrypt_regions, decrypt_regions, _key()
        rng = np.random.default_rng(1)
        self.array = rng.integers(0, 4096, (32, 512, 512), np.uint16)
        self.region = {
            "rectangle": np.s_[:, 100:300, 200:400],
            "polygon": Polygon([(100, 100), (400, 180), (300, 420), (150, 330)]),
            "speckles": rng.random(self.array.shape) < 0.25,
        }[kind]
        self.safe, self.sidecar = self.encrypt(self.array, [self.region], self.key, (0, 4095))

    def time_encrypt(self, kind):
        self.encrypt(self.array, [self.region], self.key, (0, 4095))

    def time_decrypt(self, kind):
        self.decrypt(self.safe, self.sidecar, self.key)

    def peakmem_encrypt(self, kind):
        self.encrypt(self.array, [self.region], self.key, (0, 4095))


class Zarr:
    """An array of 32 x 512 x 512 uint16 in chunks of one frame, in memory."""

    params = (["plain", "codec", "store"],)
    param_names = ("kind",)

    def setup(self, kind):
        try:
            import zarr

            from medcrypt.integrations.zarr import AesGcm, EncryptedStore, register_key
        except ImportError as missing:
            raise NotImplementedError from missing
        key, store = _key(), zarr.storage.MemoryStore()
        self.known = register_key(key)
        self.pixels = np.random.default_rng(1).integers(0, 4096, (32, 512, 512), np.uint16)
        self.array = zarr.create_array(
            EncryptedStore(store, key) if kind == "store" else store,
            shape=self.pixels.shape,
            chunks=(1, 512, 512),
            dtype=self.pixels.dtype,
            compressors=AesGcm(key) if kind == "codec" else None,
        )
        self.array[...] = self.pixels

    def teardown(self, kind):
        self.known.close()

    def time_write(self, kind):
        self.array[...] = self.pixels

    def time_read(self, kind):
        self.array[...]

    def time_read_a_part_of_a_chunk(self, kind):
        self.array[7, 100:120, 200:220]


class Nifti:
    """A NIfTI-1 file of 128 x 128 x 64 voxels of 16 bits."""

    def setup(self):
        try:
            from medcrypt.integrations import nifti
        except ImportError as missing:
            raise NotImplementedError from missing
        self.nifti, self.key = nifti, _key()
        header = bytearray(352)
        struct.pack_into("<i", header, 0, 348)
        struct.pack_into("<8h2h", header, 40, 3, 128, 128, 64, 1, 1, 1, 1, 0, 0)
        struct.pack_into("<2h", header, 70, 4, 16)
        struct.pack_into("<f", header, 108, 352)
        struct.pack_into("4s", header, 344, b"n+1\0")
        self.file = bytes(header) + bytes(2 * 128 * 128 * 64)
        self.sealed = nifti.seal(self.file, self.key)
        self.voxels = nifti.seal_voxels(self.file, self.key)

    def time_seal(self):
        self.nifti.seal(self.file, self.key)

    def time_unseal(self):
        self.nifti.unseal(self.sealed, self.key)

    def time_seal_voxels(self):
        self.nifti.seal_voxels(self.file, self.key)

    def time_unseal_voxels(self):
        self.nifti.unseal_voxels(self.voxels, self.key)
