"""Which kernels run: detection, and the variable that forces a path."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medcrypt._ext import aes, cpu
from medcrypt._ext.cpu import detect

LINUX_FLAGS = {
    "aes": "aes",
    "pclmul": "pclmulqdq",
    "sse4.1": "sse4_1",
    "avx": "avx",
    "avx2": "avx2",
    "bmi1": "bmi1",
    "bmi2": "bmi2",
    "vaes": "vaes",
    "vpclmulqdq": "vpclmulqdq",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512vl": "avx512vl",
    "avx512dq": "avx512dq",
    "avx512ifma": "avx512ifma",
    "avx512vbmi": "avx512vbmi",
}


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux lists its flags")
def test_the_instruction_sets_are_those_that_the_kernel_lists() -> None:
    lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")]
    flags = set(lines[0].split()) if lines else set()
    found = cpu.features()
    assert {name: found[name] for name in LINUX_FLAGS} == {
        name: flag in flags for name, flag in LINUX_FLAGS.items()
    }


def test_every_feature_has_an_answer() -> None:
    assert set(cpu.features()) == {*LINUX_FLAGS, "os_ymm", "os_opmask", "os_zmm"}
    assert all(isinstance(found, bool) for found in cpu.features().values())


def test_the_answer_cannot_be_changed_from_outside() -> None:
    changed = cpu.features()
    changed["aes"] = not changed["aes"]
    assert cpu.features() != changed


def test_the_paths_follow_from_the_features() -> None:
    found = cpu.features()
    registers = {"avx2": ["os_ymm"], "avx512": ["os_ymm", "os_opmask", "os_zmm"]}
    needs = {"avx2": ["aes", "pclmul", "avx2"], "avx512": [*LINUX_FLAGS]}
    runnable = [path for path in needs if all(found[f] for f in needs[path] + registers[path])]
    assert cpu.paths() == ("portable", *runnable)


def test_the_fastest_path_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDCRYPT_KERNELS", raising=False)
    assert cpu.path() == cpu.paths()[-1]
    monkeypatch.setenv("MEDCRYPT_KERNELS", "")
    assert cpu.path() == cpu.paths()[-1]


def test_the_variable_forces_a_path(monkeypatch: pytest.MonkeyPatch, kernel_path: str) -> None:
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    assert cpu.path() == kernel_path
    assert aes.AesGcm(bytes(32)).path == kernel_path


@pytest.mark.parametrize("name", ["sse9", "AVX512", "avx2 ", "\udcff"])
def test_an_unknown_path_is_a_value_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MEDCRYPT_KERNELS", name)
    with pytest.raises(ValueError, match=r"MEDCRYPT_KERNELS=.*portable, avx2, avx512"):
        cpu.path()
    with pytest.raises(ValueError, match="MEDCRYPT_KERNELS"):
        aes.AesGcm(bytes(32))


def run(code: str, kernels: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own with the variable set from the start."""
    return subprocess.run(
        [sys.executable, *(["-S"] if sys.flags.no_site else []), "-c", code],
        env={**os.environ, "MEDCRYPT_KERNELS": kernels},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_started_with_the_variable_uses_that_path(kernel_path: str) -> None:
    make = "from medcrypt._ext import aes; cipher = aes.AesGcm(bytes(32));"
    done = run(make + "print(cipher.path, cipher.encrypt(bytes(12), b'').hex())", kernel_path)
    assert done.stdout.split() == [kernel_path, "530f8afbc74536b9a963b4f1c4cb738b"], done.stderr


def test_a_bad_variable_does_not_stop_the_import() -> None:
    done = run("import medcrypt; from medcrypt._ext import aes, cpu; print(cpu.paths()[0])", "sse9")
    assert done.stdout.split() == ["portable"], done.stderr


def test_the_examples_in_the_docstrings_hold() -> None:
    failed, attempted = doctest.testmod(detect)
    assert (failed, attempted > 0) == (0, True)
