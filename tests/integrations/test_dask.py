"""Archives over Dask: the client's executor, with a local cluster in threads and in processes."""

import warnings
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed", reason="Dask is not installed")

from medcrypt import SecretKey, images  # noqa: E402
from medcrypt.images.sealed_files import MANIFEST  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's and its servers' own
KEY = SecretKey(bytes(range(32)))


def tree(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study" / "a").mkdir(parents=True)
    for number in range(12):
        (tmp_path / "study" / "a" / f"{number}.dcm").write_bytes(bytes([number]) * number * 5000)
    return tmp_path / "study"


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def client(request: pytest.FixtureRequest):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, processes=request.param, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def test_a_folder_goes_through_a_cluster_and_comes_back(tmp_path, study, client):
    KEY.save(tmp_path / "key")
    executor = client.get_executor(pure=False)
    written = images.encrypt_many(
        study, tmp_path / "key", tmp_path / "sealed", executor=executor, in_flight=4
    )
    assert len(written) == 12
    images.verify_many(tmp_path / "sealed", tmp_path / "key", executor=executor)
    images.decrypt_many(tmp_path / "sealed", tmp_path / "key", tmp_path / "back", executor=executor)
    assert tree(tmp_path / "back") == tree(study)

    with pytest.raises(TypeError):  # a secret never travels
        images.encrypt_many(study, KEY, tmp_path / "other", executor=executor)
    assert tree(tmp_path / "other") in (
        {},
        {"medcrypt-journal": (tmp_path / "other" / "medcrypt-journal").read_bytes()},
    )

    (tmp_path / "sealed" / "a" / "3.dcm.mcrypt").unlink()
    (tmp_path / "sealed" / "a" / "5.dcm.mcrypt").write_bytes(b"MEDCRYPT")
    with pytest.raises(ExceptionGroup) as caught:
        images.verify_many(tmp_path / "sealed", tmp_path / "key", executor=executor)
    assert {Path(error.__notes__[0]).name for error in caught.value.exceptions} == {
        "3.dcm.mcrypt",
        "5.dcm.mcrypt",
    }
