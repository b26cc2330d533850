"""Chaotic image encryption: integer maps, a cipher made of one, and published schemes to be broken.

`maps` iterates the field's maps in fixed point, with the same orbits everywhere. `encrypt` and `decrypt` are the
cipher for research (``images.encrypt(..., cipher="chaotic")`` is the one for use, inside AES-GCM), `diffuse` is its
network of passes alone. `schemes` holds designs from the literature, all of them insecure.
"""

from medcrypt.images.chaotic import maps, schemes
from medcrypt.images.chaotic.cipher import Ciphertext, decrypt, diffuse, encrypt, undiffuse

__all__ = ["Ciphertext", "decrypt", "diffuse", "encrypt", "maps", "schemes", "undiffuse"]
