"""Identities: HPKE and Ed25519 against published vectors, and what they refuse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import AuthenticationError, Identity, InvalidKeyError, Recipient
from medcrypt.keys.hpke import X25519, _context

ALICE, BOB = Identity(bytes(range(64))), Identity(bytes(range(1, 65)))

# Points of small order on Curve25519 (RFC 7748, section 6.1 wants the all-zero result refused), and on
# Ed25519 in the encodings of RFC 8032.
LOW_ORDER_X25519 = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
NOT_CANONICAL_X25519 = [
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "09" + "00" * 30 + "80",
    "ff" * 32,
]
LOW_ORDER_ED25519 = [
    "01" + "00" * 31,
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "00" * 32,
    "00" * 31 + "80",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
]
NO_POINT_ED25519 = ["02" + "00" * 31, "ff" * 32]

# RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


# ---- published vectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_signatures_are_those_of_rfc_8032(seed, public, message, signature):
    identity = Identity(bytes(32) + unhex(seed))
    assert identity.recipient.verifying_key == unhex(public)
    assert identity.sign(unhex(message)) == unhex(signature)
    identity.recipient.verify(unhex(message), unhex(signature))


def test_hpke_is_the_suite_of_rfc_9180():
    # The authors' test vectors of RFC 9180, mode_base, kem_id 32, kdf_id 1, aead_id 2, messages 0 and 1.
    private = unhex("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d")
    identity = Identity(private + bytes(32))
    assert identity.recipient.to_bytes()[:32] == unhex(
        "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c"
    )
    enc = unhex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256")
    info = unhex("4f6465206f6e2061204772656369616e2055726e")
    context = _context(X25519._private(private), info, enc)
    for count, sealed in (
        (0, "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a"),
        (1, "2c43aff25343fdbff864506f0818b9d87df84ea01b1a2144d23b4d40c26bf655fdf197fe40297a8aebeed5cc2d"),
    ):
        opened = context.unseal(unhex(sealed), b"Count-%d" % count)
        assert opened == b"Beauty is truth, truth beauty"


def test_x25519_public_keys_are_those_of_rfc_7748():
    # Section 6.1, Alice.
    private = unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    public = unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert Identity(private + bytes(32)).recipient.to_bytes()[:32] == public


# ---- sealing -----------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.binary(max_size=100), st.binary(max_size=100))
def test_the_identity_opens_what_was_sealed_for_its_recipient(secret, info):
    sealed = ALICE.recipient.seal(secret, info)
    assert len(sealed) == len(secret) + X25519.overhead
    assert ALICE.unseal(sealed, info) == secret
    with pytest.raises(AuthenticationError):
        BOB.unseal(sealed, info)
    with pytest.raises(AuthenticationError):
        ALICE.unseal(sealed, info + b"x")


def test_every_changed_byte_of_a_sealed_secret_is_noticed():
    sealed = ALICE.recipient.seal(b"key", b"info")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 0x80
        with pytest.raises(AuthenticationError):
            ALICE.unseal(bytes(changed), b"info")


@pytest.mark.parametrize("size", [0, 1, 31, 32, 47, 48])
def test_a_cut_sealed_secret_is_refused(size):
    with pytest.raises(AuthenticationError):
        ALICE.unseal(ALICE.recipient.seal(b"secret", b"")[:size], b"")


@pytest.mark.parametrize("point", LOW_ORDER_X25519)
def test_an_ephemeral_key_of_small_order_is_refused(point):
    with pytest.raises(AuthenticationError):
        ALICE.unseal(unhex(point) + bytes(32), b"")


# ---- recipients --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", LOW_ORDER_X25519 + NOT_CANONICAL_X25519)
def test_a_recipient_with_an_unusable_x25519_key_is_refused(point):
    with pytest.raises(InvalidKeyError, match="X25519"):
        Recipient.from_bytes(unhex(point) + ALICE.recipient.verifying_key)
    with pytest.raises(InvalidKeyError, match="X25519"):
        Recipient(unhex(point), ALICE.recipient.verifying_key)


@pytest.mark.parametrize("point", LOW_ORDER_ED25519 + NO_POINT_ED25519)
def test_a_recipient_with_an_unusable_ed25519_key_is_refused(point):
    with pytest.raises(InvalidKeyError, match="Ed25519"):
        Recipient(ALICE.recipient.to_bytes()[:32], unhex(point))


def test_a_recipient_is_equal_to_its_line_and_its_bytes():
    recipient = ALICE.recipient
    for same in (Recipient.from_text(f" {recipient}\n"), Recipient.from_bytes(recipient.to_bytes())):
        assert same == recipient
        assert hash(same) == hash(recipient)
    assert recipient != BOB.recipient
    assert recipient != recipient.to_bytes()
    assert recipient.fingerprint == ALICE.fingerprint != BOB.fingerprint


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_recipient_has_64_bytes(size):
    with pytest.raises(ValueError, match="64"):
        Recipient.from_bytes(bytes(size))


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_an_identity_has_64_bytes(size):
    with pytest.raises(ValueError, match="64"):
        Identity.from_bytes(bytes(size))


def test_generated_identities_differ_and_round_trip():
    one, two = Identity.generate(), Identity.generate()
    assert one != two
    assert Identity.from_bytes(one.to_bytes()) == one


# ---- signatures --------------------------------------------------------------------------------------------


def test_a_changed_message_or_signature_is_refused():
    signature = ALICE.sign(b"report")
    with pytest.raises(AuthenticationError):
        ALICE.recipient.verify(b"Report", signature)
    with pytest.raises(AuthenticationError):
        BOB.recipient.verify(b"report", signature)
    for position in range(0, 64, 7):
        changed = bytearray(signature)
        changed[position] ^= 1
        with pytest.raises(AuthenticationError):
            ALICE.recipient.verify(b"report", bytes(changed))


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_a_signature_of_another_shape_is_refused(signature):
    with pytest.raises(AuthenticationError):
        ALICE.recipient.verify(b"report", signature)


def test_the_second_form_of_a_signature_is_refused():
    signature = ALICE.sign(b"report")
    s = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    with pytest.raises(AuthenticationError):
        ALICE.recipient.verify(b"report", signature[:32] + s.to_bytes(32, "little"))
