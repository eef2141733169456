import numpy as np
import numpy.typing as npt
import pytest

from lookalike_server.models.pca import DIM, Principal, TooFewPictures, fit, normalised, principal


def features(products: int = 200, pictures: int = 2, loud: float = 30.0) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Return features whose loud directions are of no use: light, say; the products differ in the quiet ones."""
    rng = np.random.default_rng(3)
    quiet = rng.normal(size=(products, 40)).repeat(pictures, axis=0)
    quiet = quiet + 0.3 * rng.normal(size=quiet.shape)
    noise = loud * rng.normal(size=(products * pictures, 4))
    rows = np.concatenate([noise, quiet, 0.01 * rng.normal(size=(len(noise), 300))], axis=1) + 3.0
    return rows.astype(np.float32), [f"p{n}" for n in range(products) for _ in range(pictures)]


def test_whitening_is_as_strong_as_the_pictures_held_out_say() -> None:
    fitted = fit(*features())
    assert fitted.whitening > 0
    assert fitted.recall[fitted.whitening] == max(fitted.recall.values())
    assert fitted.recall[fitted.whitening] > fitted.recall[0.0]


def test_the_projection_is_what_was_measured() -> None:
    rows, _ = features()
    fitted = fit(rows, features()[1])
    unit = normalised(rows.astype(np.float64))
    found = normalised(unit @ fitted.weight.T.astype(np.float64) + fitted.bias)
    expected = principal(unit).project(unit, fitted.whitening)
    np.testing.assert_allclose((found * expected).sum(1), 1, atol=1e-4)
    assert fitted.weight.shape == (DIM, rows.shape[1])


def test_without_whitening_distances_are_kept() -> None:
    rng = np.random.default_rng(0)
    unit = normalised(rng.normal(size=(300, 20)))
    weight, bias = principal(unit).matrix(0.0)
    moved = unit @ weight.T + bias
    np.testing.assert_allclose(np.linalg.norm(moved[0] - moved[1:], axis=1), np.linalg.norm(unit[0] - unit[1:], axis=1))


def test_directions_without_spread_are_not_blown_up() -> None:
    part = Principal(np.zeros(2), np.eye(2), np.array([1.0, 0.0]))
    assert np.isfinite(part.matrix(1.0)[0]).all()


def test_too_few_pictures_are_told() -> None:
    with pytest.raises(TooFewPictures, match="more than 256"):
        fit(*features(products=100))
    with pytest.raises(TooFewPictures, match="10 are needed"):
        fit(*features(products=300, pictures=1))
