"""What outside code sees: the names, their costs, and nothing secret."""

import copy
import importlib
import pickle
import subprocess
import sys

import pytest

import medcrypt
from medcrypt import Identity, Passphrase, SecretKey

SECRETS = {
    "SecretKey": SecretKey(bytes(range(32))),
    "Identity": Identity(bytes(range(64))),
    "Passphrase": Passphrase("open sesame"),
}
KEY_METHODS = ["from_bytes", "generate", "load", "save", "to_bytes"]
CONTRACT = {
    "medcrypt": "SecretKey Identity Recipient Passphrase load_key MedcryptError AuthenticationError FormatError "
    "InvalidKeyError InvalidCiphertextError CapacityError ProtocolError BudgetError",
    "medcrypt.images": "encrypt decrypt encrypt_into decrypt_into sealed_size save open inspect rewrap "
    "SealedImage cobblestone",
    "medcrypt.images.cobblestone": "encrypt decrypt decrypt_range",
    "medcrypt.aggregation": "Plan HomomorphicClient HomomorphicServer MaskingClient MaskingServer simulate",
    "medcrypt.inference": "Sequential Dense Conv2d ReLU Argmax run_local deploy serve Connection linear",
}


@pytest.mark.parametrize("module", CONTRACT)
def test_the_names_of_the_contract_exist(module):
    imported = importlib.import_module(module)
    for name in CONTRACT[module].split():
        assert hasattr(imported, name), name
        assert name in imported.__all__


@pytest.mark.parametrize("name", medcrypt.__all__)
def test_everything_that_the_front_door_promises_can_be_had(name):
    assert getattr(medcrypt, name) is not None


def test_other_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        medcrypt.nonsense  # noqa: B018


@pytest.mark.parametrize("cls", [SecretKey, Identity])
def test_keys_have_the_methods_of_the_contract(cls):
    assert all(hasattr(cls, name) for name in KEY_METHODS)
    assert hasattr(Identity, "recipient")


def test_the_children_of_medcrypt_error_are_all_there_is():
    for name in medcrypt.errors.__all__:
        error = getattr(medcrypt, name)
        assert issubclass(error, medcrypt.MedcryptError)
        assert not issubclass(error, ValueError | TypeError)


def test_a_failed_authentication_says_nothing():
    assert str(medcrypt.AuthenticationError()) == ""
    with pytest.raises(TypeError):
        medcrypt.AuthenticationError("because")


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("show", [repr, str, "{}".format, "%r".__mod__, lambda secret: repr([secret])])
def test_nothing_secret_is_shown(secret, show):
    shown = show(secret)
    held = bytes(secret._buffer)
    for part in (held[:8], held[-8:]):
        assert part.hex() not in shown
        assert repr(part)[2:-1] not in shown


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_secrets_are_not_pickled(secret, protocol):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret, protocol)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_secrets_are_not_copied(secret, copier):
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copier(secret)


def test_a_recipient_is_public_and_survives_pickling():
    recipient = SECRETS["Identity"].recipient
    assert pickle.loads(pickle.dumps(recipient)) == recipient


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_secrets_take_no_new_attributes(secret):
    with pytest.raises(AttributeError):
        secret.note = "x"


def test_a_collected_secret_is_wiped():
    key = SecretKey(bytes(range(32)))
    buffer = key._buffer
    del key
    assert buffer == bytes(32)


def test_importing_medcrypt_imports_nothing_heavy():
    heavy = ["pydicom", "sklearn", "matplotlib", "scipy", "cryptography", "phe", "gmpy2", "mpmath"]
    heavy += ["Crypto.Protocol.HPKE", "Crypto.PublicKey.ECC"]
    script = (
        "import sys, medcrypt, medcrypt.images\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
        "rooms = ('medcrypt.aggregation', 'medcrypt.dp', 'medcrypt.paillier')\n"
        "print([name for name in rooms if name in sys.modules])\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert shown == "[]\n[]\n"
