from pathlib import Path

import pytest

from lookalike_router.errors import StoreFailed
from lookalike_router.placement import plan
from lookalike_router.store import SqlStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new folder/placement.db"


def test_a_new_store_knows_nothing_and_makes_an_identity_that_stays(url: str) -> None:
    shop = SqlStore(url).shop()
    assert len(shop) == 32
    assert SqlStore(url).shop() == shop
    assert SqlStore(url).placement() is None


def test_the_map_comes_back_as_it_was_written(url: str) -> None:
    placement = plan({"a": 1.0, "b": 2.5})
    SqlStore(url).found(placement)
    assert SqlStore(url).placement() == placement


def test_a_second_first_map_is_refused_and_changes_nothing(url: str) -> None:
    store = SqlStore(url)
    store.found(plan({"a": 1.0}))
    with pytest.raises(StoreFailed):
        store.found(plan({"b": 1.0}))
    assert store.placement() == plan({"a": 1.0})


def test_the_first_claim_of_a_model_stands(url: str) -> None:
    assert SqlStore(url).claim("resnet@1", 256) == ("resnet@1", 256)
    assert SqlStore(url).claim("resnet@2", 128) == ("resnet@1", 256)


def test_a_path_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreFailed, match="writable"):
        SqlStore(f"sqlite:///{tmp_path}/file/placement.db").shop()


def test_a_file_that_is_no_database_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "placement.db").write_text("not a database " * 100)
    with pytest.raises(StoreFailed):
        SqlStore(f"sqlite:///{tmp_path}/placement.db").shop()
