"""What nobody can do with encrypted values, said clearly in place of a wrong answer."""

from typing import NoReturn

__all__ = ["Opaque"]


class Opaque:
    """Base of containers of ciphertexts: no comparison, no truth, no single values, nothing for numpy to read."""

    # numpy must leave `np.int64(3) * encrypted` to __rmul__ in place of building an object array.
    __array_ufunc__ = None

    def __eq__(self, other: object) -> bool:
        raise TypeError("encrypted values cannot be compared: compare their bytes, or decrypt them")

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__

    __hash__ = None  # type: ignore[assignment]  # as for numpy's arrays

    def __bool__(self) -> bool:
        raise TypeError("encrypted values are neither true nor false: decrypt them")

    def __iter__(self) -> NoReturn:
        raise TypeError("encrypted values cannot be iterated over: decrypt them")

    __contains__ = None

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("encrypted values cannot be read by numpy: decrypt them")
