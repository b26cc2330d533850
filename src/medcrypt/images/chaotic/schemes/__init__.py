"""Image ciphers of the literature, to be studied and broken: **none of them protects an image**.

=====================  =============================  =================================================
class                  design                         falls to (see `medcrypt.attacks`)
=====================  =============================  =================================================
`Fridrich`             baker map and feedback         3 chosen images (one round), n + 2 (any number);
                                                      5 n chosen ciphertexts (secret table)
`YenGuo`               XOR and XNOR with two bytes    one known image; 2^16 seeds
`ChenMaoChui`          3-D cat map and mixing         5 chosen images (one round);
                                                      n chosen ciphertexts (any number)
`GaoChen`              shuffle, hyperchaotic XOR      3 chosen images
`Ye`                   rows and columns of bits       1 + ceil(log2 8n) chosen images
`ZhangGuoWei`          DNA coding                     two known images
`HuaJinXuHuang`        2-D logistic-sine coupling     n + 2 chosen images, whatever the rounds
=====================  =============================  =================================================

Each is written from its paper's description; where that leaves something open, the class says what was chosen. They
take 8-bit greyscale images, compute in floating point where the paper does (so that another CPU or compiler may get
other bytes) and are not fast.
"""

from medcrypt.images.chaotic.schemes.cat import ChenMaoChui
from medcrypt.images.chaotic.schemes.dna import ZhangGuoWei
from medcrypt.images.chaotic.schemes.feedback import Fridrich
from medcrypt.images.chaotic.schemes.greyscale import Scheme
from medcrypt.images.chaotic.schemes.hyperchaos import GaoChen
from medcrypt.images.chaotic.schemes.logistic_sine import HuaJinXuHuang
from medcrypt.images.chaotic.schemes.pixel_bits import Ye
from medcrypt.images.chaotic.schemes.two_bytes import YenGuo

__all__ = ["ChenMaoChui", "Fridrich", "GaoChen", "HuaJinXuHuang", "Scheme", "Ye", "YenGuo", "ZhangGuoWei"]
