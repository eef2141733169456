"""Writes and reads where a list of products goes on. A token is opaque to callers and belongs to one filter."""

import base64
import binascii
import hashlib
import json

from lookalike_router.filter import Filter
from lookalike_server.errors import BadField

DIGEST_BYTES = 8
# The longest that this server writes: a product_id of 128 control-free characters, escaped and in base64.
TOKEN_CHARS_MAX = 2048


def write_page_token(after: tuple[int, str], where: Filter | None) -> str:
    """Write the place after the product `after` in the list that `where` selects."""
    place = json.dumps(after).encode()
    return base64.urlsafe_b64encode(digest(place, where) + place).decode().rstrip("=")


def read_page_token(token: str, where: Filter | None) -> tuple[int, str]:
    """Read what `write_page_token` wrote for the same filter, or raise BadField."""
    wrong = BadField("page_token", "is not the next_page_token of a page of the same filter")
    if len(token) > TOKEN_CHARS_MAX:
        raise wrong
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise wrong from error
    mark, place = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
    if mark != digest(place, where):
        raise wrong
    slot, product_id = json.loads(place)
    return int(slot), str(product_id)


def digest(place: bytes, where: Filter | None) -> bytes:
    """Tie a place to its filter; against mistakes only: a forged token shows nothing that a list would not."""
    return hashlib.blake2b(place + repr(where).encode(), digest_size=DIGEST_BYTES).digest()
