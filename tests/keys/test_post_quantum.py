"""Post-quantum identities: X-Wing against published vectors, and what they share with all others."""

import hashlib
import json
import pickle
import sys
from pathlib import Path

import cryptography_vectors
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import AuthenticationError, Identity, InvalidKeyError, Recipient, SecretKey, images
from medcrypt.cli import main
from medcrypt.keys import load_key
from medcrypt.keys.hpke import X25519, XWING

ALICE = Identity(bytes(range(64)), post_quantum=True)
BOB = Identity(bytes(range(1, 65)), post_quantum=True)
CLASSICAL = Identity(bytes(range(64)))
ARRAY = np.arange(12, dtype="<i2")


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.fixture
def old_pycryptodome(monkeypatch):
    """A pycryptodome without hybrid keys."""
    monkeypatch.setitem(sys.modules, "Crypto.PublicKey.Hybrid", None)
    monkeypatch.delattr("Crypto.PublicKey.Hybrid", raising=False)


# ---- published vectors ---------------------------------------------------------------------------------


def test_it_is_the_x_wing_of_its_draft():
    # draft-connolly-cfrg-xwing-kem, appendix C, first vector: the ends of the public key, and the shared secret.
    seed = unhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    public = Identity(seed + bytes(32), post_quantum=True).recipient.to_bytes()[:-32]
    assert public[:32] == unhex("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5")
    assert public[-16:] == unhex("23593d4ba32d9abac8cd049040ef6534")
    randomness = unhex(
        "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2"
        "35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2"
    )
    secret, enc = XWING._public(public)._encaps(randomness)
    assert secret == unhex("d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384")
    assert XWING._private(seed)._decaps(enc) == secret


def test_it_is_the_kem_of_the_hpke_drafts_vectors():
    path = Path(cryptography_vectors.__file__).parent / "HPKE" / "hpke-pq-test-vectors.json"
    vectors = [vector for vector in json.loads(path.read_text()) if vector["kem_id"] == 0x647A]
    assert vectors
    for vector in vectors:
        private = unhex(vector["skRm"])
        assert XWING.public_of(private) == unhex(vector["pkRm"])
        assert XWING._private(private)._decaps(unhex(vector["enc"])) == unhex(vector["shared_secret"])


# ---- sealing -------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.binary(max_size=100), st.binary(max_size=100))
def test_the_identity_opens_what_was_sealed_for_its_recipient(secret, info):
    sealed = ALICE.recipient.seal(secret, info)
    assert len(sealed) == len(secret) + XWING.overhead
    assert ALICE.unseal(sealed, info) == secret
    for key, bound in ((BOB, info), (CLASSICAL, info), (ALICE, info + b"x")):
        with pytest.raises(AuthenticationError):
            key.unseal(sealed, bound)


@settings(max_examples=50)
@given(position=st.integers(0, XWING.overhead + 2), bit=st.integers(0, 7))
def test_every_changed_bit_of_a_sealed_secret_is_noticed(position, bit):
    changed = bytearray(ALICE.recipient.seal(b"key", b"info"))
    changed[position] ^= 1 << bit
    with pytest.raises(AuthenticationError):
        ALICE.unseal(bytes(changed), b"info")


@pytest.mark.parametrize("size", [0, 1, 32, 1119, 1120, 1135, 1136])
def test_a_cut_sealed_secret_is_refused(size):
    with pytest.raises(AuthenticationError):
        ALICE.unseal(ALICE.recipient.seal(b"secret", b"")[:size], b"")


# ---- keys ----------------------------------------------------------------------------------------------


def test_a_recipient_is_equal_to_its_line_its_bytes_and_its_pickle():
    recipient = ALICE.recipient
    assert str(recipient).startswith("medcrypt-hybrid-recipient-1:")
    for same in (
        Recipient.from_text(f" {recipient}\n"),
        Recipient.from_bytes(bytearray(recipient.to_bytes())),
        pickle.loads(pickle.dumps(recipient)),
    ):
        assert same == recipient
        assert hash(same) == hash(recipient)
        assert same.post_quantum


def test_the_same_bytes_are_another_identity_without_the_second_lock():
    assert ALICE.to_bytes() == CLASSICAL.to_bytes()
    assert ALICE != CLASSICAL
    assert ALICE.fingerprint != CLASSICAL.fingerprint
    assert ALICE.recipient.verifying_key == CLASSICAL.recipient.verifying_key
    assert not CLASSICAL.post_quantum
    assert not CLASSICAL.recipient.post_quantum


@pytest.mark.parametrize("passphrase", [None, "six words"])
def test_a_key_file_gives_it_back(tmp_path, passphrase):
    ALICE.save(tmp_path / "key", passphrase=passphrase)
    for loaded in (
        Identity.load(tmp_path / "key", passphrase=passphrase),
        load_key(tmp_path / "key", passphrase=passphrase),
    ):
        assert loaded == ALICE
        assert loaded.post_quantum


def test_an_identity_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(ALICE)


def test_unusable_public_keys_are_refused():
    good = ALICE.recipient.to_bytes()
    low_order = good[:1184] + bytes(32) + good[1216:]
    not_canonical = good[:1184] + b"\x09" + bytes(30) + b"\x80" + good[1216:]
    too_large = b"\xff" * 1184 + good[1184:]  # coefficients not below q: FIPS 203, section 7.2
    for data in (low_order, not_canonical, too_large):
        with pytest.raises(InvalidKeyError):
            Recipient.from_bytes(data)
    for size in (len(good) - 1, len(good) + 1, 1216):
        with pytest.raises(ValueError, match="64"):
            Recipient.from_bytes(bytes(size))


def test_a_generated_identity_is_new():
    one, two = Identity.generate(post_quantum=True), Identity.generate(post_quantum=True)
    assert one != two
    assert Identity.from_bytes(one.to_bytes(), post_quantum=True) == one


# ---- sealed images -------------------------------------------------------------------------------------


def test_an_image_opens_for_each_kind_of_recipient():
    key = SecretKey.generate()
    sealed = images.encrypt(ARRAY, [key, ALICE.recipient, CLASSICAL.recipient], spare_recipients=0)
    for one in (key, ALICE, CLASSICAL):
        assert np.array_equal(images.decrypt(sealed, one), ARRAY)
    with pytest.raises(AuthenticationError):
        images.decrypt(sealed, BOB)
    kinds = [kind for kind, _ in images.inspect(sealed).recipients]
    assert kinds == ["secret-key", "mlkem768-x25519", "x25519"]


def test_spare_room_is_for_recipients_of_the_same_kind(tmp_path):
    images.save(tmp_path / "image", ARRAY, ALICE.recipient, spare_recipients=1)
    images.rewrap(tmp_path / "image", ALICE, [ALICE.recipient, BOB.recipient])
    with images.open(tmp_path / "image", BOB) as image:
        assert np.array_equal(image[...], ARRAY)


# ---- where pycryptodome is too old ---------------------------------------------------------------------


@pytest.mark.usefixtures("old_pycryptodome")
@pytest.mark.parametrize(
    "work",
    [
        lambda: Identity.generate(post_quantum=True),
        lambda: Identity.from_bytes(bytes(64), post_quantum=True),
        lambda: Recipient.from_text(LINE),
        lambda: Recipient.from_bytes(ALICE.recipient.to_bytes()),
        lambda: ALICE.recipient.seal(b"", b""),
        lambda: ALICE.unseal(bytes(1200), b""),
    ],
)
def test_an_old_pycryptodome_says_what_is_needed(work):
    with pytest.raises(ImportError, match=r"pycryptodome 4\.4 or newer"):
        work()


LINE = str(ALICE.recipient)


@pytest.mark.usefixtures("old_pycryptodome")
def test_the_command_says_so_too(tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"data")
    assert main(["encrypt", str(tmp_path / "file"), "-r", LINE]) == 1
    assert main(["keygen", "--post-quantum", "-o", str(tmp_path / "key")]) == 1
    assert capsys.readouterr().err.count("4.4 or newer") == 2
    assert not (tmp_path / "key").exists()


def test_the_other_recipients_of_a_hybrid_image_need_no_new_pycryptodome(request, tmp_path):
    images.save(tmp_path / "image", ARRAY, [CLASSICAL.recipient, ALICE.recipient])
    request.getfixturevalue("old_pycryptodome")
    with images.open(tmp_path / "image", CLASSICAL) as image:
        assert np.array_equal(image[...], ARRAY)
    assert X25519.name == images.inspect(tmp_path / "image").recipients[0][0]


# ---- medcrypt's own vectors ----------------------------------------------------------------------------


def test_the_vectors_are_read_as_they_were_written(tmp_path):
    vector = json.loads((Path(__file__).parents[1] / "vectors/keys/keys.json").read_text())["hybrid_identity"]
    identity = Identity(unhex(vector["bytes"]), post_quantum=True)
    assert identity.fingerprint.hex() == vector["fingerprint"]
    assert hashlib.sha256(identity.recipient.to_bytes()).hexdigest() == vector["recipient_sha256"]
    assert str(identity.recipient) == vector["recipient_line"]
    assert identity.unseal(unhex(vector["sealed"]), unhex(vector["info"])) == unhex(vector["secret"])
    (tmp_path / "key").write_text(vector["file"])
    assert Identity.load(tmp_path / "key") == identity
