"""Images at rest and on the way: sealed arrays with random access.

`encrypt` and `decrypt` turn arrays into sealed bytes and back; `save` and `open` do it with files, of which
`open` reads only the part that is asked for; `inspect` shows a header without a key; `rewrap` changes who can
open a file. `cobblestone` is the chunked format underneath.
"""

from medcrypt.images import cobblestone
from medcrypt.images.container import decrypt, decrypt_into, encrypt, encrypt_into, sealed_size
from medcrypt.images.files import Inspection, inspect, rewrap, save
from medcrypt.images.reading import SealedImage, open  # noqa: A004 - the field's verb

__all__ = [
    "Inspection",
    "SealedImage",
    "cobblestone",
    "decrypt",
    "decrypt_into",
    "encrypt",
    "encrypt_into",
    "inspect",
    "open",
    "rewrap",
    "save",
    "sealed_size",
]
