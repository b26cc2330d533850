"""The chaotic cipher: inside sealed images, and bare for research."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.binomial_bands import band, npcr_pass
from images.image_strategies import arrays, filled, same, tiled
from medcrypt import AuthenticationError, FormatError, Identity, SecretKey, images
from medcrypt.images import chaotic, statistics
from reference import chaotic_cipher as reference
from reference import sealed_image

KEY = SecretKey(bytes(range(32)))
NONCE = bytes(range(16))
CIPHERS = ["chaotic", "chaotic-ctr"]

each_cipher = pytest.mark.parametrize("cipher", CIPHERS)


# ---- inside AES-256-GCM --------------------------------------------------------------------------------


@each_cipher
@given(array=arrays(), context=st.binary(max_size=20))
def test_any_array_comes_back(cipher, array, context):
    sealed = images.encrypt(array, KEY, cipher=cipher, context=context)
    assert len(sealed) == images.sealed_size(array.shape, array.dtype, KEY, cipher=cipher)
    assert same(images.decrypt(sealed, KEY, context=context), array)
    assert images.inspect(sealed).cipher == cipher


@each_cipher
@given(case=tiled())
def test_tiles_and_random_access(cipher, case):
    array, tiles = case
    sealed = images.encrypt(array, KEY, cipher=cipher, tiles=tiles)
    with images.open(sealed, KEY) as image:
        part = tuple(slice(length // 3, length) for length in array.shape)
        assert same(image[part], np.ascontiguousarray(array[part]))
        assert same(image[...], np.ascontiguousarray(array))
        image.verify()


@pytest.mark.parametrize("shape", [(1, 1), (509, 521), (1, 70_001), (3, 5, 7, 11), (40, 64, 63)])
@each_cipher
def test_the_second_reader_opens_it(cipher, shape):
    array = filled(shape, "<u2") if np.prod(shape) < 20_000 else filled(shape, "|u1")[:2]
    sealed = images.encrypt(array, KEY, cipher=cipher, context=b"study")
    assert same(sealed_image.read(sealed, "secret-key", KEY.to_bytes(), b"study").array, array)


def test_the_counter_variant_reads_only_what_it_needs():
    volume = filled((40, 128, 128), "<u2")
    with images.open(images.encrypt(volume, KEY, cipher="chaotic-ctr"), KEY) as image:
        assert same(image[20, 3:5], np.ascontiguousarray(volume[20, 3:5]))
        assert image.chunks_read == 1
    with images.open(images.encrypt(volume, KEY, cipher="chaotic"), KEY) as image:
        assert same(image[20, 3:5], np.ascontiguousarray(volume[20, 3:5]))
        assert image.chunks_read == volume.nbytes // 16384 + 1


@each_cipher
def test_files_signatures_and_new_keys(tmp_path, cipher):
    array, path, signer, other = (
        filled((3, 100, 90), ">i4"),
        tmp_path / "a.mcrypt",
        Identity.generate(),
        SecretKey.generate(),
    )
    images.save(path, array[:, ::2], KEY, cipher=cipher, signer=signer)
    with images.open(path, KEY, sender=signer.recipient) as image:
        assert same(image[1], np.ascontiguousarray(array[1, ::2]))
    images.reencrypt(path, KEY, other, signer=signer)
    assert images.inspect(path).cipher == cipher
    assert same(images.decrypt(path.read_bytes(), other), np.ascontiguousarray(array[:, ::2]))


def test_a_stream_of_rows_works_for_the_counter_variant_only(tmp_path):
    array = filled((7, 50, 60), "<u2")
    with images.create(tmp_path / "a", array.shape, array.dtype, KEY, cipher="chaotic-ctr") as writer:
        for row in array:
            writer.write(row)
    assert same(images.decrypt((tmp_path / "a").read_bytes(), KEY), array)
    with pytest.raises(ValueError, match="whole image"):
        images.create(tmp_path / "b", array.shape, array.dtype, KEY, cipher="chaotic")


@each_cipher
def test_into_buffers(cipher):
    array = filled((60, 50), "<f4")
    out, back = (
        bytearray(images.sealed_size(array.shape, array.dtype, KEY, cipher=cipher)),
        np.empty_like(array),
    )
    assert images.encrypt_into(array, KEY, out, cipher=cipher) == len(out)
    assert images.decrypt_into(out, KEY, back) == array.nbytes
    assert same(back, array)


@each_cipher
def test_any_flipped_bit_is_refused(cipher):
    array = filled((20, 30), "|u1")
    sealed = images.encrypt(array, KEY, cipher=cipher)
    for at in np.random.default_rng(2).integers(0, len(sealed), 60):
        changed = bytearray(sealed)
        changed[at] ^= 1 << int(at % 8)
        with pytest.raises((AuthenticationError, FormatError)):
            images.decrypt(changed, KEY)
    with pytest.raises(AuthenticationError):
        images.decrypt(sealed, SecretKey.generate())


def test_one_cipher_is_not_taken_for_another():
    sealed = bytearray(images.encrypt(filled((64, 64), "|u1"), KEY, cipher="chaotic-ctr"))
    assert sealed[20] == 3
    sealed[20] = 1
    with pytest.raises(AuthenticationError):
        images.decrypt(sealed, KEY)


def test_the_parts_that_threads_share_are_the_same(kernel_path, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    array = filled((70, 1024, 32), "|u1")
    for cipher in CIPHERS:
        sealed = images.encrypt(array, KEY, cipher=cipher, threads=3)
        monkeypatch.setenv("MEDCRYPT_KERNELS", "portable")
        assert same(images.decrypt(sealed, KEY, threads=2), array)


# ---- bare ----------------------------------------------------------------------------------------------


@each_cipher
@given(array=arrays(), nonce=st.binary(min_size=16, max_size=16), context=st.binary(max_size=9))
def test_bare_ciphertexts_come_back_and_are_those_of_the_twin(cipher, array, nonce, context):
    bare = chaotic.encrypt(array, KEY, cipher=cipher, nonce=nonce, context=context, authenticated=False)
    assert (bare.pixels.dtype.str, bare.pixels.shape) == (array.dtype.str, array.shape)
    assert same(chaotic.decrypt(bare, KEY, context=context), np.ascontiguousarray(array).reshape(array.shape))
    if array.nbytes < 3000:
        key, data = KEY.to_bytes(), array.tobytes()
        if cipher == "chaotic":
            assert (bare.synthetic_iv, bare.pixels.tobytes()) == reference.encrypt(key, nonce, data, context)
        else:
            assert bare.pixels.tobytes() == reference.crypt_counter(key, nonce, data, context)


def test_bare_ciphertexts_are_the_same_on_every_path(kernel_path, monkeypatch):
    array = filled((123, 457), "<u2")
    bare = chaotic.encrypt(array, KEY, nonce=NONCE, authenticated=False)
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    again = chaotic.encrypt(array, KEY, nonce=NONCE, authenticated=False)
    assert bare.synthetic_iv == again.synthetic_iv
    assert same(bare.pixels, again.pixels)


def test_nonce_context_and_key_matter():
    array = filled((64, 64), "|u1")

    def bare(key=KEY, nonce=NONCE, context=b""):
        return chaotic.encrypt(array, key, nonce=nonce, context=context, authenticated=False).pixels

    others = [bare(nonce=bytes(16)), bare(context=b"x"), bare(key=SecretKey(bytes(32)))]
    assert all((bare() == other).mean() < 0.02 for other in others)
    assert same(bare(), bare())
    assert chaotic.encrypt(array, KEY, authenticated=False).nonce != NONCE


def test_sealed_bytes_are_the_default_and_choose_their_nonce():
    array = filled((20, 20), "|u1")
    sealed = chaotic.encrypt(array, KEY, context=b"x")
    assert same(chaotic.decrypt(sealed, KEY, context=b"x"), array)
    assert same(images.decrypt(sealed, KEY, context=b"x"), array)
    with pytest.raises(ValueError, match="nonce"):
        chaotic.encrypt(array, KEY, nonce=NONCE)


def test_bad_arguments_are_refused():
    array = filled((4, 4), "|u1")
    with pytest.raises(ValueError, match="unknown cipher"):
        chaotic.encrypt(array, KEY, cipher="aes-256-gcm", authenticated=False)
    with pytest.raises(TypeError, match="SecretKey"):
        chaotic.encrypt(array, b"k" * 32, authenticated=False)
    with pytest.raises(ValueError, match="16 bytes"):
        chaotic.encrypt(array, KEY, nonce=b"short", authenticated=False)
    with pytest.raises(TypeError, match="dtype"):
        chaotic.encrypt(np.array(["text"]), KEY, authenticated=False)
    with pytest.raises(TypeError, match="context"):
        chaotic.encrypt(array, KEY, context="text", authenticated=False)
    bare = chaotic.encrypt(array, KEY, authenticated=False)
    with pytest.raises(FormatError):
        chaotic.decrypt(dataclasses.replace(bare, synthetic_iv=b""), KEY)
    with pytest.raises(ValueError, match="unknown cipher"):
        chaotic.decrypt(dataclasses.replace(bare, cipher="rot13"), KEY)


# ---- diffusion: at a fixed key and nonce, or every cipher passes ----------------------------------------


def passes_the_tests(pairs, pixels, bits):
    """Whether the NPCR and the UACI of pairs of images pass as often as those of random ones: 99 % bands."""
    pairs, critical = list(pairs), statistics.critical_values(pixels, bits)
    npcr, uaci = np.array(pairs).T
    passed = int((npcr >= critical.npcr - 1e-9).sum())
    low, high = band(len(pairs), npcr_pass(pixels, bits, critical.npcr))
    assert low <= passed <= high, ("NPCR", passed, low, high)
    passed = int(((uaci >= critical.uaci_low) & (uaci <= critical.uaci_high)).sum())
    low, high = band(len(pairs), 0.95)
    assert low <= passed <= high, ("UACI", passed, low, high)


def measured(one, two):
    return statistics.npcr(one, two), statistics.uaci(one, two)


def one_bit_changes(encrypt, dtype, side, count):
    """NPCR and UACI of `count` changes of one random bit of an image that is smooth but for the changes before.

    No two pairs share an image: with one ciphertext in all of them the tests would pass or fail together.
    """
    y, x = np.mgrid[:side, :side]
    image = ((np.hypot(x - side / 2, y - side / 2) < side / 3) * 77 + (x // 5)).astype(dtype)
    rng, found = np.random.default_rng(20), []
    for _ in range(2 * count):
        image[tuple(rng.integers(0, side, 2))] ^= image.dtype.type(1 << int(rng.integers(image.itemsize * 8)))
        found.append(encrypt(image))
        if len(found) == 2:
            yield measured(*found)
            found = []


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_one_bit_of_the_image_changes_everything_at_a_fixed_key_and_nonce(dtype):
    def encrypt(image):
        return chaotic.encrypt(image, KEY, nonce=NONCE, authenticated=False).pixels

    passes_the_tests(one_bit_changes(encrypt, dtype, 128, 100), 128**2, 8 * np.dtype(dtype).itemsize)


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_so_it_does_without_the_synthetic_iv(dtype):
    def encrypt(image):
        return chaotic.diffuse(image, bytes(range(64)))

    passes_the_tests(one_bit_changes(encrypt, dtype, 128, 100), 128**2, 8 * np.dtype(dtype).itemsize)


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["u1", "<u2"])
@pytest.mark.parametrize("bare", [True, False])
def test_a_thousand_one_bit_changes(dtype, bare):
    def encrypt(image):
        if bare:
            return chaotic.diffuse(image, bytes(range(64)))
        return chaotic.encrypt(image, KEY, nonce=NONCE, authenticated=False).pixels

    passes_the_tests(one_bit_changes(encrypt, dtype, 512, 1000), 512**2, 8 * np.dtype(dtype).itemsize)


def key_flips(dtype, side, count):
    """NPCR and UACI of `count` changes of one random bit of the key, no two of which share a key."""
    image, rng = np.zeros((side, side), dtype), np.random.default_rng(21)

    def encrypt(key):
        return chaotic.encrypt(image, SecretKey(bytes(key)), nonce=NONCE, authenticated=False).pixels

    for _ in range(count):
        key = bytearray(rng.bytes(32))
        before, bit = encrypt(key), int(rng.integers(256))
        key[bit // 8] ^= 1 << bit % 8
        yield measured(before, encrypt(key))


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_one_bit_of_the_key_changes_everything(dtype):
    passes_the_tests(key_flips(dtype, 128, 100), 128**2, 8 * np.dtype(dtype).itemsize)


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_thousand_key_flips(dtype):
    passes_the_tests(key_flips(dtype, 512, 1000), 512**2, 8 * np.dtype(dtype).itemsize)


def test_fewer_passes_fail_the_same_test():
    def encrypt(image):
        return chaotic.diffuse(image, bytes(range(64)), passes=1)

    with pytest.raises(AssertionError, match="NPCR"):
        passes_the_tests(one_bit_changes(encrypt, "u1", 128, 100), 128**2, 8)


def test_without_authentication_decryption_is_local_as_the_page_says():
    encrypted = filled((512, 512), "|u1")
    changed = encrypted.copy()
    changed[170, 170] ^= 1
    seed = bytes(range(64))
    same_bytes = (chaotic.undiffuse(encrypted, seed) == chaotic.undiffuse(changed, seed)).mean()
    assert 0.7 < same_bytes < 0.9
    assert (chaotic.diffuse(encrypted, seed) == chaotic.diffuse(changed, seed)).mean() < 0.01


# ---- images with structure -----------------------------------------------------------------------------


def structured():
    y, x = np.mgrid[:256, :256]
    air = np.full((256, 256), -1024, "<i2")
    air[80:170, 60:190] = 40
    return {
        "black": np.zeros((256, 256), np.uint8),
        "white": np.full((256, 256), 255, np.uint8),
        "checkerboard": ((x + y) % 2 * 255).astype(np.uint8),
        "gradient": x.astype(np.uint8),
        "CT air": air.view("<u2"),
        "volume": np.zeros((8, 128, 64), np.uint8),
    }


@each_cipher
@pytest.mark.parametrize("name", structured())
def test_structure_leaves_no_trace(cipher, name):
    image = structured()[name]
    # Fixed keys and nonces: every limit below is exceeded by about one random image in a million.
    found = chaotic.encrypt(image, KEY, cipher=cipher, nonce=NONCE, authenticated=False).pixels
    counts = np.bincount(found.view(np.uint8).ravel(), minlength=256)
    expected = found.nbytes / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 255 - 4.5 * np.sqrt(510) < chi_square < 255 + 5.5 * np.sqrt(510)
    bits = np.unpackbits(found.view(np.uint8).ravel(), bitorder="little")
    limit = 5 * np.sqrt(bits.size)
    signs = 2.0 * bits - 1
    assert abs(signs.sum()) < limit
    row = found.shape[-1] * found.itemsize * 8
    for lag in (
        1,
        7,
        8,
        16,
        32,
        64,
        512,
        4096,
        row,
        row + 8,
    ):  # lanes, lines, rows of the cipher and of the image
        assert abs(signs[lag:] @ signs[:-lag]) < limit
    assert np.unique(found.view(np.uint8).reshape(-1, 16), axis=0).shape[0] == found.nbytes // 16


@each_cipher
def test_statistics_of_a_black_image(cipher):
    black = np.zeros((512, 512), np.uint8)
    found = chaotic.encrypt(black, KEY, cipher=cipher, nonce=NONCE, authenticated=False).pixels
    report = statistics.report(black, found)
    assert report.cipher.entropy > 7.999
    assert all(abs(value) < 5 / 512 for value in report.cipher.correlation.values())


def test_equal_images_look_different_when_they_are_sealed_twice():
    array = filled((64, 64), "|u1")
    assert images.encrypt(array, KEY, cipher="chaotic") != images.encrypt(array, KEY, cipher="chaotic")


def test_nothing_of_the_secret_is_shown():
    bare = chaotic.encrypt(filled((4, 4), "|u1"), KEY, authenticated=False)
    assert KEY.to_bytes().hex() not in repr(bare)
