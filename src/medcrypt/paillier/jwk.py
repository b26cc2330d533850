"""Keys as JSON, in the form of python-phe's command line: ``kty`` "DAJ", ``alg`` "PAI-GN1", base64url integers.

Members that we do not know are ignored (RFC 7517, section 4); a member that is there twice is refused, because
readers would differ on which one counts.
"""

import base64
import binascii
import json
from typing import Any

from medcrypt.errors import InvalidKeyError

__all__ = ["read_private", "read_public", "write_private", "write_public"]

_TYPE, _ALGORITHM = "DAJ", "PAI-GN1"
_LONGEST = 1 << 16


def write_public(n: int, kid: str) -> str:
    """Return the JSON text of a public key.

    Parameters
    ----------
    n
        The modulus.
    kid
        A name for the key.

    Returns
    -------
    str
        One JSON object.

    Examples
    --------
    >>> write_public(126869, "example")
    '{"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": "Ae-V", "kid": "example"}'
    """
    return json.dumps(_public(n, kid))


def write_private(n: int, p: int, q: int, kid: str) -> str:
    """Return the JSON text of a private key; **secret**.

    Parameters
    ----------
    n, p, q
        The modulus and its factors.
    kid
        A name for the key.

    Returns
    -------
    str
        One JSON object.

    Examples
    --------
    >>> read_private(write_private(126869, 293, 433, "example"))
    (126869, 293, 433)
    """
    key = {
        "kty": _TYPE,
        "key_ops": ["decrypt"],
        "p": _encode(p),
        "q": _encode(q),
        "pub": _public(n, kid),
        "kid": kid,
    }
    return json.dumps(key)


def read_public(text: str | bytes) -> int:
    """Return n of a public key.

    Parameters
    ----------
    text
        JSON text.

    Returns
    -------
    int
        The modulus, unchecked.

    Raises
    ------
    InvalidKeyError
        If the text is no public key in this form.

    Examples
    --------
    >>> read_public('{"kty": "DAJ", "alg": "PAI-GN1", "n": "Ae-V"}')
    126869
    """
    return _modulus(_parse(text))


def read_private(text: str | bytes) -> tuple[int, int, int]:
    """Return n, p and q of a private key.

    Parameters
    ----------
    text
        JSON text.

    Returns
    -------
    tuple of int
        n, p, q with n = p q and p <= q; nothing else is checked.

    Raises
    ------
    InvalidKeyError
        If the text is no private key in this form, or n is not p q.

    Examples
    --------
    See `write_private`.
    """
    key = _parse(text)
    if key.get("kty") != _TYPE:
        raise InvalidKeyError("not a JSON key of the Paillier scheme")
    p, q = sorted((_decode(key.get("p")), _decode(key.get("q"))))
    public = key.get("pub")
    if not isinstance(public, dict) or _modulus(public) != p * q:
        raise InvalidKeyError("not a consistent private key")
    return p * q, p, q


def _public(n: int, kid: str) -> dict[str, Any]:
    """Build the members of a public key."""
    return {"kty": _TYPE, "alg": _ALGORITHM, "key_ops": ["encrypt"], "n": _encode(n), "kid": kid}


def _modulus(key: dict[str, Any]) -> int:
    """Read n from the members of a public key."""
    if key.get("kty") != _TYPE or key.get("alg") != _ALGORITHM:
        raise InvalidKeyError("not a JSON key of the Paillier scheme")
    return _decode(key.get("n"))


def _parse(text: str | bytes) -> dict[str, Any]:
    """Read one JSON object without repeated members. What it holds is never quoted in an error."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"expected JSON text, not {type(text).__name__}")
    if len(text) > _LONGEST:
        raise InvalidKeyError("too long for a key")
    try:
        key = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, dict):
        raise InvalidKeyError("not a JSON object")
    return key


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, and refuse a member that is there twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _encode(x: int) -> str:
    """Write a positive integer in base64url without padding, in as few bytes as possible."""
    data = x.to_bytes(-(-x.bit_length() // 8), "big")
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _decode(text: object) -> int:
    """Read what `_encode` wrote, and nothing that it would write differently."""
    try:
        if isinstance(text, str):
            padded = (text + "=" * (-len(text) % 4)).encode("ascii")
            x = int.from_bytes(base64.b64decode(padded, altchars=b"-_", validate=True), "big")
            if _encode(x) == text:
                return x
    except (binascii.Error, UnicodeEncodeError):
        pass
    raise InvalidKeyError("an integer is not in base64url")
