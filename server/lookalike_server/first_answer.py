"""Says what a write's request was in one digest, and writes its first answer so that it can be given again.

An answer keeps only what the request itself does not determine; the rest is read from the request that came again.
Knows no store and no models.
"""

import hashlib
import json

from lookalike_router.filter import Json
from lookalike_server.product import NewProduct, Outcome, StoredPicture, StoredProduct, Upserted
from lookalike_server.regions import Box


def upsert_digest(product: NewProduct) -> str:
    """Return what tells an upsert from others; its pictures have their hashes and ids."""
    pictures: list[Json] = [
        [one.image_id, one.sha256, one.uri, sides(one.box), one.position] for one in product.pictures
    ]
    return digest(["upsert", product.product_id, dict(product.attributes), pictures])


def delete_digest(product_id: str) -> str:
    """Return what tells a delete from other writes."""
    return digest(["delete", product_id])


def digest(said: Json) -> str:
    """Return a hash that outlives this process and does not depend on the order of attributes."""
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def written(upserted: Upserted) -> str:
    """Write what an upsert did."""
    return json.dumps(
        {
            "outcome": upserted.outcome.value,
            "embedded": upserted.images_embedded,
            "reused": upserted.images_reused,
            "boxes": [sides(one.box) for one in upserted.product.pictures],
        },
        separators=(",", ":"),
    )


def given_again(product: NewProduct, text: str) -> Upserted:
    """Return the first answer to an upsert from what `written` wrote and the same request."""
    told = json.loads(text)
    pictures = tuple(
        StoredPicture(one.image_id, one.uri, one.sha256, Box(*box), one.box is not None, one.position)
        for one, box in zip(product.pictures, told["boxes"], strict=True)
    )
    stored = StoredProduct(product.product_id, product.attributes, pictures)
    return Upserted(stored, Outcome(told["outcome"]), told["embedded"], told["reused"])


def sides(box: Box | None) -> Json:
    """Write a box, None where the caller left the choice."""
    return None if box is None else [box.left, box.top, box.right, box.bottom]
