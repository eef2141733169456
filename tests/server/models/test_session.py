import threading
from pathlib import Path

import numpy as np

from lookalike_server.image import Picture
from lookalike_server.models.load import load_embedder
from lookalike_server.models.session import Crowd, Runtime
from lookalike_server.regions import WHOLE_BOX
from tests.server.photos import plain
from tests.server.tiny import embedder_network, manifest_of, write_archive


def test_a_run_is_alone_until_another_joins() -> None:
    crowd = Crowd()
    with crowd.joined() as first:
        with crowd.joined() as second:
            assert (first, second) == (True, False)
        with crowd.joined() as third:
            assert not third
    with crowd.joined() as last:
        assert last


def test_the_cores_are_shared_out() -> None:
    assert (Runtime(threads=8).threads_alone, Runtime(threads=8).threads_shared) == (8, 4)
    assert Runtime(threads=1).threads_shared == 1
    assert Runtime().threads_alone >= 1


def test_runs_at_once_give_what_a_lone_one_gives(tmp_path: Path) -> None:
    content = embedder_network()
    archive = write_archive(tmp_path / "it.zip", content, manifest_of(content, "embedder"))
    embedder = load_embedder(archive, Runtime(threads=2))
    inputs = embedder.prepare(Picture(plain((10, 20, 30)), 64, 64), [WHOLE_BOX])
    alone = embedder.run(inputs)[0]
    results: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    threads = [threading.Thread(target=lambda: results.extend(embedder.run(inputs))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(result, alone) for result in results)
