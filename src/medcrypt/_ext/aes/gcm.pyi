from typing import Final, NoReturn, final

from typing_extensions import Buffer

__all__ = ["AesGcm"]

@final
class AesGcm:
    path: Final[str]
    def __init__(self, key: Buffer, path: str | None = None) -> None: ...
    def __reduce__(self) -> NoReturn: ...
    def encrypt(self, nonce: Buffer, data: Buffer, aad: Buffer = b"") -> bytes: ...
    def decrypt(self, nonce: Buffer, data: Buffer, aad: Buffer = b"") -> bytes: ...
    def seal_chunks(
        self,
        nonce: Buffer,
        src: Buffer,
        dst: Buffer,
        *,
        first: int = 0,
        final: bool = True,
        chunk: int = 16384,
    ) -> int: ...
    def open_chunks(
        self,
        nonce: Buffer,
        src: Buffer,
        dst: Buffer,
        *,
        first: int = 0,
        final: bool = True,
        chunk: int = 16384,
    ) -> int: ...
