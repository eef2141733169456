import json
from typing import Any

import pytest

from lookalike_server.errors import BadModel
from lookalike_server.models.manifest import DetectorFace, EmbedderFace, Head, Kind, parse
from lookalike_server.models.match import Calibration
from tests.server.tiny import manifest_of

MATCH = {"slope": 20.0, "offset": -10, "same_min": 0.9, "similar_min": 0.5, "weak_min": 0.1}


def text(kind: str) -> str:
    return json.dumps(manifest_of(b"network", kind))


def test_an_embedder_and_a_detector_are_told_apart() -> None:
    embedder, detector = parse(text("embedder")), parse(text("detector"))
    assert (embedder.kind, embedder.face) == (Kind.EMBEDDER, EmbedderFace(256))
    assert (detector.kind, detector.face) == (Kind.DETECTOR, DetectorFace(Head.END2END, ("product",)))


def test_an_embedder_may_say_what_its_cosines_mean() -> None:
    face = parse(json.dumps(manifest_of(b"network", "embedder", match=MATCH))).face
    assert face == EmbedderFace(256, Calibration(20.0, -10.0, 0.9, 0.5, 0.1))


def test_an_embedder_may_want_to_see_more_than_the_box() -> None:
    assert parse(json.dumps(manifest_of(b"network", "embedder", margin=0.1))).face == EmbedderFace(256, None, 0.1)


def test_a_model_is_named_by_what_it_is_not_only_by_its_version() -> None:
    one, other = (parse(json.dumps(manifest_of(network, "embedder"))) for network in (b"network", b"trained again"))
    assert one.id.startswith("tiny-embedder@1+")
    assert one.id != other.id


def test_colours_become_one_multiplication_and_one_addition() -> None:
    raw = manifest_of(b"network", "embedder")
    raw["input"] |= {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.2, 0.1], "range": 1.0}
    fit = parse(json.dumps(raw)).input.fit
    for channel, (mean, std) in enumerate(((0.5, 0.5), (0.4, 0.2), (0.3, 0.1))):
        assert 51 * fit.scale[channel] + fit.bias[channel] == pytest.approx((51 / 255 - mean) / std)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "schema 2"),
        ({"name": "a@b"}, "name is 'a@b'"),
        ({"version": None}, "version is None"),
        ({"file": "../../etc/passwd"}, "file is"),
        ({"sha256": "12"}, "sha256 is '12'"),
        ({"kind": "oracle"}, "kind is 'oracle', not one of 'detector', 'embedder'"),
        ({"dim": 128}, "vectors of 256 numbers"),
        ({"output": 7}, "output is 7"),
        ({"licence": None}, "licence is None"),
        ({"input": []}, "input is"),
        ({"margin": "wide"}, "margin is 'wide'"),
        ({"margin": -0.1}, "margin is -0.1, not 0 to 0.5"),
        ({"margin": 0.6}, "margin is 0.6, not 0 to 0.5"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"match": 0.5}, "match is 0.5"),
        ({"match": MATCH | {"slope": "steep"}}, "slope is 'steep'"),
        ({"match": MATCH | {"slope": -1.0}}, "slope above 0"),
        ({"match": MATCH | {"slope": float("nan")}}, "slope above 0"),
        ({"match": MATCH | {"weak_min": 0.8}}, "same_min >= similar_min >= weak_min"),
        ({"kind": "detector", "head": "rcnn", "classes": ["a"]}, "head is 'rcnn'"),
        ({"kind": "detector", "head": "yolo", "classes": []}, "one or more names"),
    ],
)
def test_a_wrong_entry_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadModel, match=says):
        parse(json.dumps(manifest_of(b"network", "embedder") | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 0}, "0 x 32"),
        ({"height": 4096}, "32 x 4096"),
        ({"color": "BGR"}, "only RGB"),
        ({"fit": "crop"}, "letterbox, stretch"),
        ({"std": [1, 0, 1]}, "std holds a 0"),
        ({"mean": [1, 2]}, "three numbers"),
        ({"range": "1"}, "range is '1'"),
    ],
)
def test_a_wrong_entry_of_the_input_is_named(changes: dict[str, Any], says: str) -> None:
    raw = manifest_of(b"network", "embedder")
    raw["input"] |= changes
    with pytest.raises(BadModel, match=says):
        parse(json.dumps(raw))


@pytest.mark.parametrize("content", ["", "{", "[]", "7"])
def test_what_is_no_manifest_is_refused(content: str) -> None:
    with pytest.raises(BadModel, match="not"):
        parse(content)
