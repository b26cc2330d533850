"""What the literature measures of encrypted images: necessary, never sufficient.

Ciphers that fall to four chosen images pass every one of these tests (Preishuber et al. 2018; see
`medcrypt.attacks`).

Two images against each other: `npcr`, `uaci`, `psnr`, `ssim`, `encryption_quality`. One image: `entropy`,
`local_entropy`, `chi_square`, `histogram_variance`, `correlation`, `cooccurrence`. A cipher: `plaintext_sensitivity`,
`key_sensitivity`. `report` puts them together, `bit_sequences` exports for NIST SP 800-22.
"""

from medcrypt.images.statistics.correlation import correlation
from medcrypt.images.statistics.differential import (
    CriticalValues,
    critical_values,
    key_sensitivity,
    npcr,
    plaintext_sensitivity,
    uaci,
)
from medcrypt.images.statistics.entropy import LocalEntropy, entropy, local_entropy
from medcrypt.images.statistics.export import bit_sequences
from medcrypt.images.statistics.histogram import (
    ChiSquare,
    Quality,
    chi_square,
    encryption_quality,
    histogram_variance,
)
from medcrypt.images.statistics.report import Report, report
from medcrypt.images.statistics.similarity import psnr, ssim
from medcrypt.images.statistics.texture import Cooccurrence, cooccurrence

__all__ = [
    "ChiSquare",
    "Cooccurrence",
    "CriticalValues",
    "LocalEntropy",
    "Quality",
    "Report",
    "bit_sequences",
    "chi_square",
    "cooccurrence",
    "correlation",
    "critical_values",
    "encryption_quality",
    "entropy",
    "histogram_variance",
    "key_sensitivity",
    "local_entropy",
    "npcr",
    "plaintext_sensitivity",
    "psnr",
    "report",
    "ssim",
    "uaci",
]
