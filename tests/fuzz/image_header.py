"""The parts of a sealed image's header by themselves.

Inside a sealed image they stand behind a key or a hash, where no fuzzer gets; but whoever knows a recipient
can seal anything for it, so what comes out of a valid file is still a stranger's.
"""

from contextlib import suppress

import numpy as np

from medcrypt.errors import FormatError
from medcrypt.images import header


def built(form: header.Form, signer: bytes = b"", public: bytes = b"", private: bytes = b"") -> bytes:
    return header.without_private(form, bytes(header.ID_BYTES), signer, public) + private


def seeds() -> list[bytes]:
    plain = header.form_of(np.dtype("<u2"), (512, 512), None, 1024, "aes-256-gcm", False, 0, 0)
    full = header.form_of(np.dtype(">f4"), (2, 0, 7), (1, 1, 4), 128, "aes-256-gcm", True, 7, 80)
    metadata = {"series": 7, "name": "ü", "spacing": [0.5, 1e-7], "nested": {"deep": [None, True, {}]}}
    return [
        built(plain),
        built(full, bytes(32), b'{"a":1}', bytes(80)),
        header.metadata_to_bytes(metadata, 1 << 20),
    ]


def parse(data: bytes) -> None:
    with suppress(FormatError):
        parsed = header.parse(np.frombuffer(data, np.uint8))
        if built(parsed.form, parsed.signer, parsed.public, parsed.private)[64:] != data[64 : parsed.size]:
            raise RuntimeError("two encodings of one header")
        if header.without_private(parsed.form, parsed.file_id, b"", b"")[:64] != data[:64]:
            raise RuntimeError("two encodings of one header")
    metadata = header.metadata_from_bytes(data)
    if header.metadata_to_bytes(metadata, 1 << 20) != data:
        raise RuntimeError("two encodings of the same metadata")
