from lookalike_server.gateway.methods import OFFERS, method_of
from tests.server.gateway.http import Http

WRITES = ("Upsert", "Import", "Delete", "Add", "Remove")


async def test_every_offer_is_a_method_of_a_service(http: Http) -> None:
    for offer in OFFERS:
        assert callable(method_of(offer, http.shop.serving.services))


def test_nothing_is_changed_by_http() -> None:
    assert not any(offer.name.partition(".")[2].startswith(WRITES) for offer in OFFERS)
