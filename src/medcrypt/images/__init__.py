"""Images at rest and on the way: sealed arrays with random access.

`encrypt` and `decrypt` turn arrays into sealed bytes and back; `save` and `open` do it with files, of which
`open` reads only the part that is asked for; `create` writes a file piece by piece; `inspect` shows a header
without a key; `rewrap`, `add_recipient` and `remove_recipient` change who can open a file, `reencrypt` its
file key as well. `rotate` does so for a folder. `encrypt_many`, `decrypt_many` and
`verify_many` make, restore and check archives of whole folders. `cobblestone` is the chunked format underneath.
`encrypt_regions` and `decrypt_regions` encrypt parts of an image that stays an image. `chaotic` is the other cipher,
and the study of its kind; `statistics` measures encrypted images as the literature does.
"""

from medcrypt.images import chaotic, cobblestone, statistics
from medcrypt.images.archive import decrypt_many, encrypt_many, verify_many
from medcrypt.images.container import decrypt, decrypt_into, encrypt, encrypt_into, sealed_size
from medcrypt.images.files import Inspection, inspect
from medcrypt.images.outlines import Polygon
from medcrypt.images.reading import SealedImage, open  # noqa: A004 - the field's verb
from medcrypt.images.reencryption import reencrypt
from medcrypt.images.regions import decrypt_regions, encrypt_regions
from medcrypt.images.rewrapping import add_recipient, remove_recipient, rewrap
from medcrypt.images.rotation import rotate
from medcrypt.images.writing import SealedWriter, create, save

__all__ = [
    "Inspection",
    "Polygon",
    "SealedImage",
    "SealedWriter",
    "add_recipient",
    "chaotic",
    "cobblestone",
    "create",
    "decrypt",
    "decrypt_into",
    "decrypt_many",
    "decrypt_regions",
    "encrypt",
    "encrypt_into",
    "encrypt_many",
    "encrypt_regions",
    "inspect",
    "open",
    "reencrypt",
    "remove_recipient",
    "rewrap",
    "rotate",
    "save",
    "sealed_size",
    "statistics",
    "verify_many",
]
