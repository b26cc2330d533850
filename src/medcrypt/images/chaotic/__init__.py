"""Chaotic image encryption: integer maps, a cipher made of one, and published schemes to be broken.

`maps` iterates the field's maps in fixed point, with the same orbits everywhere. `encrypt` and `decrypt` are the
cipher for research (``images.encrypt(..., cipher="chaotic")`` is the one for use, inside AES-GCM). `schemes` holds
designs from the literature, most of them insecure.
"""
