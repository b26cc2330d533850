"""Images at rest and on the way: sealed arrays with random access.

`encrypt` and `decrypt` turn arrays into sealed bytes and back; `save` and `open` do it with files, of which
`open` reads only the part that is asked for; `inspect` shows a header without a key; `rewrap` changes who can
open a file. `cobblestone` is the chunked format underneath. `encrypt_regions` and `decrypt_regions` encrypt parts
of an image that stays an image.
"""

from medcrypt.images import cobblestone
from medcrypt.images.container import decrypt, decrypt_into, encrypt, encrypt_into, sealed_size
from medcrypt.images.files import Inspection, inspect, rewrap, save
from medcrypt.images.outlines import Polygon
from medcrypt.images.reading import SealedImage, open  # noqa: A004 - the field's verb
from medcrypt.images.regions import decrypt_regions, encrypt_regions

__all__ = [
    "Inspection",
    "Polygon",
    "SealedImage",
    "cobblestone",
    "decrypt",
    "decrypt_into",
    "decrypt_regions",
    "encrypt",
    "encrypt_into",
    "encrypt_regions",
    "inspect",
    "open",
    "rewrap",
    "save",
    "sealed_size",
]
