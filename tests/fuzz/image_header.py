"""The parts of a sealed image's header by themselves.

Inside a sealed image they stand behind a key or a hash, where no fuzzer gets; but whoever knows a recipient
can seal anything for it, so what comes out of a valid file is still a stranger's.
"""

from contextlib import suppress

import numpy as np

from medcrypt.errors import FormatError
from medcrypt.images import header


def seeds() -> list[bytes]:
    plain = header.Header(np.dtype("<u2"), (512, 512), bytes(16), slot_size=1024)
    full = header.Header(
        np.dtype(">f4"),
        (2, 0, 7),
        bytes(16),
        slot_size=128,
        public=b'{"a":1}',
        private=bytes(40),
        signer=bytes(32),
    )
    metadata = {"series": 7, "name": "ü", "spacing": [0.5, 1e-7], "nested": {"deep": [None, True, {}]}}
    return [plain.to_bytes(), full.to_bytes(), header.metadata_to_bytes(metadata, 1 << 20)]


def parse(data: bytes) -> None:
    with suppress(FormatError):
        parsed = header.parse(np.frombuffer(data, np.uint8)).to_bytes()
        if parsed != data[: len(parsed)]:
            raise RuntimeError("two encodings of one header")
    metadata = header.metadata_from_bytes(data)
    if header.metadata_to_bytes(metadata, 1 << 20) != data:
        raise RuntimeError("two encodings of the same metadata")
