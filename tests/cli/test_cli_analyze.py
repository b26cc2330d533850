"""medcrypt analyze."""

import json

import numpy as np
import pytest

from medcrypt.cli import main


@pytest.fixture
def array(tmp_path):
    y, x = np.mgrid[:256, :256]
    path = tmp_path / "disc.npy"
    np.save(path, (np.hypot(x - 128, y - 128) < 80) * np.uint8(90))
    return path


def test_the_table_compares_both_images(array, capsys):
    assert main(["analyze", str(array)]) == 0
    out = capsys.readouterr().out
    assert "under chaotic" in out
    assert "chi-square" in out
    assert "necessary, never sufficient" in out


@pytest.mark.parametrize("cipher", ["chaotic", "chaotic-ctr", "aes-256-gcm"])
def test_json_tells_ciphers_that_diffuse_from_streams(array, capsys, cipher):
    assert main(["analyze", str(array), "--cipher", cipher, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["image_cipher"] == cipher
    assert found["cipher"]["entropy"] > 7.99 > found["plain"]["entropy"]
    changed = min(found["one_bit_changes"]["npcr"])
    assert (changed > 99) == (cipher == "chaotic")


@pytest.mark.parametrize(
    "cipher", ["fridrich", "yen-guo", "chen-mao-chui", "gao-chen", "ye", "zhang-guo-wei"]
)
def test_published_schemes_are_shown_with_a_warning(tmp_path, capsys, cipher):
    np.save(tmp_path / "small.npy", np.arange(4096, dtype=np.uint16).reshape(64, 64).astype(np.uint8))
    assert main(["analyze", str(tmp_path / "small.npy"), "--cipher", cipher]) == 0
    assert "is broken, whatever the table says" in capsys.readouterr().out


def test_signed_and_coloured_pixels(tmp_path, capsys):
    np.save(tmp_path / "ct.npy", np.arange(-2000, 2096, dtype=np.int16).reshape(64, 64))
    assert main(["analyze", str(tmp_path / "ct.npy")]) == 0
    np.save(tmp_path / "slide.npy", np.zeros((40, 50, 3), np.uint8))
    assert main(["analyze", str(tmp_path / "slide.npy")]) == 0
    assert "uint16" in capsys.readouterr().out


def test_pictures_and_dicom_files(tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image")
    pillow.fromarray(np.eye(64, dtype=np.uint8) * 200).save(tmp_path / "eye.png")
    assert main(["analyze", str(tmp_path / "eye.png")]) == 0
    data = pytest.importorskip("pydicom.data")
    assert main(["analyze", data.get_testdata_file("CT_small.dcm")]) == 0
    assert "(128, 128)" in capsys.readouterr().out


def test_the_plot_is_a_file_that_is_not_replaced_unasked(array, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "plot.png"
    assert main(["analyze", str(array), "--plot", str(plot)]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main(["analyze", str(array), "--plot", str(plot)]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["analyze", str(array), "--plot", str(plot), "--force"]) == 0


def test_what_is_no_image_is_refused(tmp_path, capsys):
    (tmp_path / "text").write_text("no picture")
    assert main(["analyze", str(tmp_path / "text")]) == 2
    assert main(["analyze", str(tmp_path / "missing")]) == 1
    np.save(tmp_path / "floats.npy", np.zeros((4, 4)))
    assert main(["analyze", str(tmp_path / "floats.npy")]) == 2
    np.save(tmp_path / "empty.npy", np.zeros((0, 4), np.uint8))
    assert main(["analyze", str(tmp_path / "empty.npy")]) == 2
    assert capsys.readouterr().out == ""
