# cython: language_level=3, embedsignature=True, embedsignature.format=python
"""Which kernels this processor can run, and which ones are in use."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport getenv

__all__ = ["features", "path", "paths"]

cdef extern from "detect.h":
    const int CPU_FEATURE_COUNT
    const char *const *cpu_feature_names
    uint32_t cpu_detect() nogil


# Neither the processor nor the system's register state changes while the process lives.
cdef dict _FEATURES = {
    cpu_feature_names[i].decode("ascii"): bool(cpu_detect() >> i & 1) for i in range(CPU_FEATURE_COUNT)
}

# A path is a promise to every kernel family, so each one lists all that any family may use.
cdef tuple _AVX2 = ("aes", "pclmul", "sse4.1", "avx", "avx2", "bmi1", "bmi2", "os_ymm")
cdef tuple _AVX512 = _AVX2 + (
    "vaes", "vpclmulqdq", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512ifma", "avx512vbmi",
    "os_opmask", "os_zmm",
)
cdef tuple _KNOWN = ("portable", "avx2", "avx512")


cdef tuple _runnable():
    """The paths whose every requirement is met, slowest first."""
    needs = {"portable": (), "avx2": _AVX2, "avx512": _AVX512}
    return tuple(name for name in _KNOWN if all(_FEATURES[feature] for feature in needs[name]))

cdef tuple _PATHS = _runnable()


def features() -> dict[str, bool]:
    """Return what the processor and the operating system offer.

    Returns
    -------
    dict of str to bool
        Instruction sets by CPUID (``"aes"``, ``"pclmul"``, ``"avx2"``, ``"avx512f"``, ...) and the
        register state that the system saves by XGETBV (``"os_ymm"``, ``"os_opmask"``, ``"os_zmm"``).
        All False where the processor is not an x86. Source: Intel SDM, volume 1, section 13.3 and
        volume 2, CPUID.

    Examples
    --------
    >>> from medcrypt._ext import cpu
    >>> isinstance(cpu.features()["aes"], bool)
    True
    """
    return dict(_FEATURES)


def paths() -> tuple[str, ...]:
    """Return the kernel paths that this processor can run, slowest first.

    Returns
    -------
    tuple of str
        ``"portable"`` always; ``"avx2"`` (AES-NI, PCLMULQDQ, AVX2, BMI); ``"avx512"`` (VAES and VPCLMULQDQ on
        512 bits, AVX-512 F, BW, VL, DQ, IFMA and VBMI).

    Examples
    --------
    >>> from medcrypt._ext import cpu
    >>> cpu.paths()[0]
    'portable'
    """
    return _PATHS


def path() -> str:
    """Return the kernel path in use: the fastest, or what ``MEDCRYPT_KERNELS`` forces.

    The variable is read at every call, so a bad value never stops ``import medcrypt``.

    Returns
    -------
    str
        One of `paths`.

    Raises
    ------
    ValueError
        ``MEDCRYPT_KERNELS`` is set to an unknown path or to one that this processor cannot run.

    Examples
    --------
    >>> from medcrypt._ext import cpu
    >>> cpu.path() in cpu.paths()
    True
    """
    cdef const char *forced = getenv("MEDCRYPT_KERNELS")
    if forced is NULL or forced[0] == 0:
        return _PATHS[len(_PATHS) - 1]
    name = forced.decode("utf-8", "replace")
    if name not in _KNOWN:
        raise ValueError(f"MEDCRYPT_KERNELS={name!r}: the paths are {', '.join(_KNOWN)}")
    if name not in _PATHS:
        raise ValueError(f"MEDCRYPT_KERNELS={name!r}: this processor can run {', '.join(_PATHS)} only")
    return name
