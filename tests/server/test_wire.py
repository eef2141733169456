from google.protobuf import json_format

from lookalike.v1 import catalog_pb2, search_pb2
from lookalike_router.answer import Coverage, Explained, Missing, Trouble
from lookalike_router.filter import Json
from lookalike_server import wire
from lookalike_server.complaints import Complaints
from lookalike_server.models.match import Level
from lookalike_server.pipeline import Source
from lookalike_server.product import Outcome, StoredPicture, StoredProduct
from lookalike_server.product_checks import checked_attributes
from lookalike_server.regions import WHOLE_BOX, Box


def test_every_word_of_the_domain_has_a_word_on_the_wire() -> None:
    assert set(wire.SOURCES) == set(Source)
    assert set(wire.TROUBLES) == set(Trouble)
    assert set(wire.OUTCOMES) == set(Outcome)
    assert set(wire.LEVELS) == set(Level)


def test_a_product_comes_back_as_it_was_sent() -> None:
    sent = catalog_pb2.Product(
        product_id="mug-1",
        title="Mug",
        category="mug",
        brand="Ours",
        price=catalog_pb2.Money(amount_minor=0, currency_code="JPY"),
        url="https://shop.example/mug",
        in_stock=False,
        tags=["a", "b"],
    )
    sent.attributes.update({"size": 4, "deep": {"list": [1.5, None, True, {"x": "y"}]}, "empty": {}})
    attributes = checked_attributes(sent, "product", Complaints())
    back = wire.product_message(StoredProduct("mug-1", attributes, ()))
    assert json_format.MessageToDict(back) == json_format.MessageToDict(sent)
    assert back.in_stock is False
    assert back.HasField("in_stock")


def test_what_was_not_said_is_not_said_back() -> None:
    back = wire.product_message(StoredProduct("mug-1", {}, ()))
    assert back == catalog_pb2.Product(product_id="mug-1")


def test_a_picture_comes_back_with_its_facts() -> None:
    picture = StoredPicture("1", "u", "a" * 64, Box(0, 0.25, 0.5, 1), True, 3)
    assert StoredPicture.of("1", picture.facts()).facts() == picture.facts()
    assert wire.image(picture, None) == catalog_pb2.ProductImage(
        image_id="1", uri="u", content_sha256="a" * 64, box=catalog_pb2.Box(left=0, top=0.25, right=0.5, bottom=1)
    )


def test_facts_that_somebody_else_wrote_do_no_harm() -> None:
    odd: list[dict[str, Json]] = [
        {},
        {"box": "x", "uri": 3, "position": "y"},
        {"box": [1, 1, 0, 0]},
        {"box": [None] * 4},
    ]
    for facts in odd:
        picture = StoredPicture.of("1", facts)
        assert (picture.box, picture.uri, picture.position) == (WHOLE_BOX, "", 0)


def test_coverage_names_who_is_missing_and_why() -> None:
    written = wire.coverage(Coverage(3, 2, 0.5, (Missing("c", Trouble.REFUSED, "another shop"),)))
    assert list(written.unreachable) == ["c"]
    assert written.reasons[0] == search_pb2.Coverage.Reason(
        shard="c", kind=search_pb2.Coverage.Reason.KIND_REFUSED, message="another shop"
    )


def test_coverage_names_who_may_lack_writes_and_says_when_the_map_is_old() -> None:
    written = wire.coverage(Coverage(3, 3, 1.0, behind=("b",), stale=True))
    assert (list(written.behind), written.map_may_be_stale) == (["b"], True)
    assert not wire.coverage(Coverage(3, 3, 1.0)).map_may_be_stale


def test_every_fact_of_an_explanation_has_its_place() -> None:
    one = Explained("a", "a/2", 1.5, 9, 1, 2, 3, "a/3", "a/1", 4, "late")
    written = wire.explanation([one]).shards[0]
    drops = search_pb2.ShardExplanation.Drops(not_owner=1, older_version=2, same_product=3)
    assert written == search_pb2.ShardExplanation(
        shard="a", replica="a/2", ms=1.5, rows=9, drops=drops, hedge="a/3", retry="a/1", rounds=4, message="late"
    )
