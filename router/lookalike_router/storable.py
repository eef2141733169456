"""Says whether a product can be stored as it is. Knows no shard's state."""

import numpy as np

from lookalike_router import columns
from lookalike_router.answer import ProductWrite
from lookalike_router.errors import WriteRefused
from lookalike_router.shard import DIM

# So that a batch's products, each replaced whole, fit in one answer of a shard.
PICTURES_MAX = 32
# What a collection's text columns hold.
ID_BYTES_MAX = 512
# float32 rounds; a vector this far from unit length was not normalised.
LENGTH_TOLERANCE = 1e-3


def check(write: ProductWrite) -> None:
    """Raise WriteRefused if a product cannot be stored."""
    if not 1 <= len(write.pictures) <= PICTURES_MAX:
        raise WriteRefused(f"product {write.product_id!r} has {len(write.pictures)} pictures, not 1 to {PICTURES_MAX}")
    images = [picture.image_id for picture in write.pictures]
    if len(set(images)) < len(images):
        raise WriteRefused(f"product {write.product_id!r} names a picture twice")
    for text in (write.product_id, write.model, *images):
        if not 1 <= len(text.encode()) <= ID_BYTES_MAX:
            raise WriteRefused(f"product {write.product_id!r}: {text[:40]!r} is empty or over {ID_BYTES_MAX} bytes")
    price = write.attributes.get("price_minor")
    if isinstance(price, int) and abs(price) >= abs(columns.NO_NUMBER):
        raise WriteRefused(f"product {write.product_id!r}: the price {price} is out of range")
    if len(columns.facts(write.attributes)) > columns.FACTS_BYTES_MAX:
        raise WriteRefused(f"product {write.product_id!r} has too many attributes to filter by; give fewer than 1,000")
    for picture in write.pictures:
        size = len(columns.document(write.attributes, picture.facts).encode())
        if size > columns.DOCUMENT_BYTES_MAX:
            raise WriteRefused(f"product {write.product_id!r}: {size} bytes of attributes; at most 65,535 fit")
        vector = picture.vector
        if vector.shape != (DIM,) or not abs(float(np.linalg.norm(vector)) - 1) <= LENGTH_TOLERANCE:
            raise WriteRefused(f"product {write.product_id!r}: a vector is not {DIM} numbers of unit length")
