"""``medcrypt doctor``: what this machine runs, and whether it computes the published answers."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable
from typing import Any

from medcrypt.errors import AuthenticationError


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="show versions and kernels, and run self-tests",
        description="Show what medcrypt runs on, and check every primitive against published vectors. "
        "The exit code is 1 if any of them fails.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    machine, results = _machine(), _results()
    if args.json:
        print(json.dumps({"machine": machine, "tests": results}, indent=2))
    else:
        for name, value in machine.items():
            print(f"{name:<20}{_words(value)}")
        print()
        for name, failure in results.items():
            print(
                f"{'ok' if failure is None else 'FAILED':<8}{name}{'' if failure is None else f': {failure}'}"
            )
    return 1 if any(results.values()) else 0


def _machine() -> dict[str, Any]:
    from medcrypt._ext import cpu

    found = cpu.features()
    return {
        "medcrypt": importlib.metadata.version("medcrypt"),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "pycryptodome": importlib.metadata.version("pycryptodome"),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "cpu features": [name for name, present in found.items() if present],
        "kernels": list(cpu.paths()),
        "kernels in use": cpu.path(),
        # Without these instructions pycryptodome's tables are read at secret places, which the cache reveals.
        "constant-time AES": bool(found.get("aes") and found.get("pclmul")),
    }


def _words(value: object) -> str:
    if isinstance(value, bool):
        return (
            "yes" if value else "NO: this processor has no AES instructions; others on it may learn the key"
        )
    return ", ".join(value) if isinstance(value, list) else str(value)


def _results() -> dict[str, str | None]:
    """Run every test and return None, or what was wrong, under its name."""
    from medcrypt._ext import cpu

    tests: dict[str, Callable[[], bool]] = {
        f"AES-256-GCM on the path {path}: test case 16 of the GCM specification": _gcm_on(path)
        for path in cpu.paths()
    }
    tests |= {
        "Cobblestone-256: a round trip, and a flipped bit is refused": _cobblestone,
        "sealed image: a round trip for a recipient": _sealed_image,
        "X25519 (RFC 7748, section 6.1)": _x25519,
        "HPKE (RFC 9180): a round trip, and another context is refused": _hpke,
        "Ed25519 (RFC 8032, section 7.1, test 1)": _ed25519,
        "scrypt (RFC 7914, section 12)": _scrypt,
        "Paillier: a sum of encrypted arrays": _paillier,
        "accountant: delta of the Gaussian mechanism in closed form": _accountant,
    }
    return {name: _failure(test) for name, test in tests.items()}


def _failure(test: Callable[[], bool]) -> str | None:
    try:
        return None if test() else "wrong result"
    except Exception as error:  # whatever breaks here is what the user has to see
        return f"{type(error).__name__}: {error}"


def _refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except AuthenticationError:
        return True
    return False


def _gcm_on(path: str) -> Callable[[], bool]:
    """McGrew and Viega, The Galois/Counter Mode of Operation, appendix B, test case 16."""

    def test() -> bool:
        from medcrypt._ext.aes import AesGcm

        cipher = AesGcm(bytes.fromhex("feffe9928665731c6d6a8f9467308308") * 2, path)
        nonce = bytes.fromhex("cafebabefacedbaddecaf888")
        aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        plain = bytes.fromhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        )
        sealed = bytes.fromhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
            "76fc6ece0f4e1768cddf8853bb2d551b"
        )
        changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        return (
            cipher.encrypt(nonce, plain, aad) == sealed
            and cipher.decrypt(nonce, sealed, aad) == plain
            and _refused(lambda: cipher.decrypt(nonce, changed, aad))
        )

    return test


def _cobblestone() -> bool:
    from medcrypt.images import cobblestone

    key, data = bytes(range(32)), bytes(range(256)) * 200
    blob = bytearray(cobblestone.encrypt(key, data, b"doctor"))
    whole = cobblestone.decrypt(key, blob, b"doctor") == data
    blob[30_000] ^= 1
    return whole and _refused(lambda: cobblestone.decrypt(key, blob, b"doctor"))


def _sealed_image() -> bool:
    import numpy as np

    from medcrypt import Identity, images

    identity, slice_ = Identity.generate(), np.arange(64 * 64, dtype="<i2").reshape(64, 64)
    sealed = images.encrypt(slice_, identity.recipient, signer=identity)
    opened = images.decrypt(sealed, identity, sender=identity.recipient)
    return np.array_equal(opened, slice_) and _refused(lambda: images.decrypt(sealed, Identity.generate()))


def _x25519() -> bool:
    from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement

    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    shared = key_agreement(
        static_priv=import_x25519_private_key(alice),
        static_pub=import_x25519_public_key(bob),
        kdf=bytes,
    )
    return bytes(shared).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def _hpke() -> bool:
    from medcrypt import Identity

    identity = Identity.generate()
    sealed = identity.recipient.seal(b"file key", b"doctor")
    return identity.unseal(sealed, b"doctor") == b"file key" and _refused(
        lambda: identity.unseal(sealed, b"another")
    )


def _ed25519() -> bool:
    from medcrypt import Identity

    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    identity = Identity.from_bytes(bytes(range(32)) + seed)
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    identity.recipient.verify(b"", signature)
    return (
        identity.recipient.verifying_key.hex() == public
        and identity.sign(b"") == signature
        and _refused(lambda: identity.recipient.verify(b"changed", signature))
    )


def _scrypt() -> bool:
    from medcrypt import Passphrase
    from medcrypt.keys.passphrase import ScryptCost

    key = Passphrase("pleaseletmein").stretch(b"SodiumChloride", ScryptCost(log2_n=14))
    return key.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"


def _paillier() -> bool:
    from medcrypt import paillier

    # A short key says as much about the arithmetic as a long one, in no time; it protects nothing here.
    public, private = paillier.generate_keypair(bits=256, insecure=True)
    packing = paillier.Packing(bits=16, max_terms=2)
    total = public.encrypt_integers([1, -2, 300], packing) + public.encrypt_integers([10, -20, 300], packing)
    return bool(private.decrypt_integers(total).tolist() == [11, -22, 600])


def _accountant() -> bool:
    """Balle and Wang 2018, theorem 5: Phi(1/2 - 1) - e Phi(-1/2 - 1) at sigma = epsilon = 1."""
    from medcrypt import dp

    return abs(dp.Accountant().compose(dp.Gaussian(1.0)).delta(1.0) - 0.126936737506644) < 1e-9
