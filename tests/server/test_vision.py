import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lookalike_server.deadline import Deadline
from lookalike_server.errors import BadImage, Overloaded, ShuttingDown, TokenExpired, TooLate
from lookalike_server.regions import WHOLE_BOX, Box
from lookalike_server.vision import Token, Upload, Vision, VisionLimits
from tests.server.photos import corners, encoded, jpeg, plain
from tests.server.test_deadline import Clock
from tests.server.tiny import tiny_detector, tiny_embedder

NEVER = Deadline.never()
ROWS = [[0, 0, 16, 16, 0.9, 0]]
WHITE = Upload(jpeg(plain((255, 255, 255))))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def vision(tmp_path: Path, clock: Clock) -> AsyncIterator[Vision]:
    made = Vision(tiny_detector(tmp_path, ROWS), tiny_embedder(tmp_path), VisionLimits(token_ttl_s=60), clock)
    yield made
    await made.close()


async def test_a_photo_is_seen_and_its_parts_embedded(vision: Vision) -> None:
    seen = await vision.see(Upload(encoded(corners(96, 96), "PNG")), NEVER, detect=False)
    assert (seen.width_px, seen.height_px, seen.detections) == (96, 96, ())
    vectors = await vision.embed(seen, [Box(0, 0, 0.5, 0.5), WHOLE_BOX], NEVER)
    assert vectors.shape == (2, 256)
    assert vectors[0, :3] == pytest.approx([1, 0, 0], abs=0.05)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])


async def test_detection_runs_when_asked_and_once_for_each_photo(vision: Vision) -> None:
    seen = await vision.see(WHITE, NEVER, detect=False)
    assert seen.detections == ()
    again = await vision.see(Token(seen.token), NEVER, detect=True)
    assert [one.label for one in again.detections] == ["product"]
    assert again.token == seen.token
    third = await vision.see(Token(seen.token), NEVER, detect=True)
    assert third.detections is again.detections


async def test_a_token_stands_for_the_photo_until_it_expires(vision: Vision, clock: Clock) -> None:
    seen = await vision.see(WHITE, NEVER, detect=True)
    clock.now += 59
    again = await vision.see(Token(seen.token), NEVER, detect=True)
    assert (again.token, again.detections) == (seen.token, seen.detections)
    assert np.array_equal(again.picture.pixels(), seen.picture.pixels())
    clock.now += 60
    with pytest.raises(TokenExpired, match="send the picture again"):
        await vision.see(Token(seen.token), NEVER, detect=True)


async def test_a_photo_that_is_not_to_be_kept_has_no_token(vision: Vision) -> None:
    assert (await vision.see(WHITE, NEVER, detect=True, keep=False)).token == ""
    with pytest.raises(TokenExpired):
        await vision.see(Token(""), NEVER, detect=True)


async def test_a_bad_picture_is_refused_and_its_neighbours_are_not(vision: Vision) -> None:
    outcomes = await asyncio.gather(
        *(vision.see(photo, NEVER, detect=True) for photo in (WHITE, Upload(b"text"), WHITE, Upload(b""))),
        return_exceptions=True,
    )
    assert [isinstance(outcome, BadImage) for outcome in outcomes] == [False, True, False, True]


async def test_nothing_runs_after_the_deadline(vision: Vision, clock: Clock) -> None:
    seen = await vision.see(WHITE, NEVER, detect=False)
    passed = Deadline.after(0, clock)
    with pytest.raises(TooLate, match="read the picture"):
        await vision.see(WHITE, passed, detect=True)
    with pytest.raises(TooLate):
        await vision.see(Token(seen.token), passed, detect=True)
    with pytest.raises(TooLate):
        await vision.embed(seen, [WHOLE_BOX], passed)


async def test_many_photos_at_once_get_their_own_vectors(vision: Vision) -> None:
    async def colour(at: int) -> npt.NDArray[np.float32]:
        photo = Upload(encoded(plain((at, 255 - at, 0)), "PNG"))
        return await vision.embed(await vision.see(photo, NEVER, detect=True), [WHOLE_BOX], NEVER)

    vectors = await asyncio.gather(*(colour(at) for at in range(0, 250, 5)))
    for at, vector in zip(range(0, 250, 5), vectors, strict=True):
        meant = np.array([at, 255 - at]) / np.hypot(at, 255 - at)
        assert vector[0, :2] == pytest.approx(meant, abs=0.01)


async def test_too_many_photos_are_sent_away(tmp_path: Path) -> None:
    limits = VisionLimits(photos_waiting_max=2)
    vision = Vision(tiny_detector(tmp_path, ROWS), tiny_embedder(tmp_path), limits)
    calls = [vision.see(WHITE, NEVER, detect=True) for _ in range(30)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await vision.close()
    assert any(isinstance(outcome, Overloaded) for outcome in outcomes)
    assert not all(isinstance(outcome, Exception) for outcome in outcomes)


async def test_a_closed_vision_takes_nothing_and_holds_nothing(tmp_path: Path) -> None:
    vision = Vision(tiny_detector(tmp_path, ROWS), tiny_embedder(tmp_path))
    seen = await vision.see(WHITE, NEVER, detect=True)
    await vision.close()
    with pytest.raises(ShuttingDown):
        await vision.see(WHITE, NEVER, detect=True)
    with pytest.raises(TokenExpired):
        await vision.see(Token(seen.token), NEVER, detect=True)


async def test_stages_are_timed(tmp_path: Path) -> None:
    vision = Vision(tiny_detector(tmp_path, ROWS), tiny_embedder(tmp_path))
    seen = await vision.see(WHITE, NEVER, detect=True)
    assert seen.timings.decode_ms > 0
    assert seen.timings.detect_ms > 0
    assert seen.timings.embed_ms == 0
    await vision.embed(seen, [WHOLE_BOX], NEVER)
    assert seen.timings.embed_ms > 0
    again = await vision.see(Token(seen.token), NEVER, detect=True)
    assert again.timings.detect_ms == 0
    await vision.close()


async def test_models_are_named_with_their_versions(vision: Vision) -> None:
    assert vision.detector_id.startswith("tiny-detector@1+")
    assert vision.embedder_id.startswith("tiny-embedder@1+")


def test_photos_and_tokens_stay_out_of_logs() -> None:
    assert "secret" not in repr(Upload(b"secret")) + repr(Token("secret"))
