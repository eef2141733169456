from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lookalike_server.errors import BadModel
from lookalike_server.models.calibrate import Pairs, fit, joined, logistic, pairs_of, quality, write
from lookalike_server.models.load import load_embedder
from lookalike_server.models.match import Calibration
from tests.server.tiny import ONE_THREAD, detector_network, embedder_network, manifest_of, write_archive


def unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def shop(noise: float, seed: int = 0) -> Pairs:
    """Return the pairs of 200 queries, each a noisy picture of one of 200 products."""
    rng = np.random.default_rng(seed)
    gallery = rng.normal(size=(200, 16))
    queries = gallery + noise * rng.normal(size=gallery.shape)
    names = [f"p{n}" for n in range(200)]
    return pairs_of(unit(queries), names, unit(gallery), names)


def test_the_pairs_are_the_best_hits_and_a_product_counts_once() -> None:
    gallery = unit(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]))
    pairs = pairs_of(gallery[:1], ["a"], gallery, ["a", "a", "b"])
    assert pairs.cosines.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert pairs.same.tolist() == [True, False]
    assert pairs.best_wrong.tolist() == pytest.approx([0.0], abs=1e-6)


def test_a_logistic_curve_is_found_again() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, 50_000)
    same = rng.random(50_000) < 1 / (1 + np.exp(-(8 * cosines - 3)))
    assert logistic(cosines, same) == pytest.approx((8, -3), rel=0.05)


def test_few_are_falsely_called_the_same_also_where_they_were_not_learned_from() -> None:
    one = fit(shop(0.5))
    assert quality(one, shop(0.5)).false_same <= 0.02
    unseen = quality(one, shop(0.5, seed=1))
    assert unseen.false_same <= 0.05
    assert unseen.true_same >= 0.6
    assert 1 >= one.same_min >= one.similar_min >= one.weak_min > 0


def test_an_embedder_that_tells_less_apart_calls_less_the_same() -> None:
    sharp, blunt = (quality(fit(shop(noise)), shop(noise)) for noise in (0.3, 1.5))
    assert blunt.true_same < sharp.true_same


def test_too_little_is_no_calibration() -> None:
    with pytest.raises(BadModel, match="20 of each are needed"):
        fit(Pairs(np.ones(30), np.ones(30, bool), np.zeros(30)))


def test_cosines_that_mean_the_opposite_are_refused() -> None:
    cosines = np.linspace(-1, 1, 100)
    with pytest.raises(BadModel, match="tells nothing apart"):
        fit(Pairs(cosines, cosines < 0, cosines))


def test_sets_are_joined() -> None:
    both = joined([shop(0.3), shop(0.5)])
    assert (len(both.best_wrong), len(both.cosines)) == (400, 4000)


def test_an_archive_learns_what_its_cosines_mean_and_keeps_its_network(tmp_path: Path) -> None:
    content = embedder_network()
    archive = write_archive(tmp_path / "plain.zip", content, manifest_of(content, "embedder"))
    one = Calibration(20.0, -10.0, 0.9, 0.5, 0.1)
    write(archive, one, tmp_path / "told.zip")
    before, after = (load_embedder(path, ONE_THREAD) for path in (archive, tmp_path / "told.zip"))
    assert (before.calibration, after.calibration) == (None, one)
    assert before.id == after.id
    write(tmp_path / "told.zip", one, tmp_path / "told.zip")
    assert load_embedder(tmp_path / "told.zip", ONE_THREAD).calibration == one


def test_a_detector_has_no_cosines(tmp_path: Path) -> None:
    content = detector_network([(0, 0, 1, 1, 1, 0)])
    archive = write_archive(tmp_path / "detector.zip", content, manifest_of(content, "detector"))
    with pytest.raises(BadModel, match="is a detector"):
        write(archive, Calibration(20.0, -10.0, 0.9, 0.5, 0.1), tmp_path / "out.zip")
