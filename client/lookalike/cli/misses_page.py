"""Draws misses as one HTML page with the pictures inside it: photo, box, what came back, what should have.

Knows no server. A catalogue picture is looked for where its `uri` says, relative to the folder given.
"""

import base64
import mimetypes
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from lookalike.cli.scoring import Judged
from lookalike.types import Box, Hit, Product

# A page of pictures inside: more than this each is a mistake in the folder, and a browser's patience has an end.
PICTURE_BYTES_MAX = 4 * 2**20
HITS_SHOWN = 5

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; max-width: 80rem; color: #222; }
section { border-top: 1px solid #ccc; padding: 1rem 0; display: flex; gap: 1rem; flex-wrap: wrap; }
figure { margin: 0; width: 9rem; } figure.photo { width: 16rem; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
.frame { position: relative; display: block; } img { width: 100%; display: block; background: #eee; }
.box { position: absolute; border: 2px solid #e80; box-shadow: 0 0 0 1px #0006; box-sizing: border-box; }
.right { outline: 3px solid #2a2; } .none { height: 7rem; background: #eee; color: #777; padding: .5rem; }
h2 { width: 100%; margin: 0; font-size: 1rem; }
"""


def page(misses: Iterable[Judged], products: Mapping[str, Product], pictures: Path) -> str:
    """Return the page; `products` are the right ones by the name they were asked for."""
    sections = "\n".join(_section(one, products, pictures) for one in misses) or "<p>There are none.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Worst misses</title>'
        f"<style>{_STYLE}</style></head><body><h1>Worst misses</h1>\n{sections}\n</body></html>\n"
    )


def _section(one: Judged, products: Mapping[str, Product], pictures: Path) -> str:
    wanted = [products[name] for name in one.wanted.split(", ") if name in products]
    if one.absent:
        title = "not in the shop, taken for it"
    else:
        title = f"should have been {one.wanted}" + ("" if wanted else ", which the shop does not have")
    photo = _figure(str(one.photo), one.photo.name, "photo", box=one.searched)
    found = "".join(
        _figure(_uri(hit.product, pictures), _caption(hit), "right" if right else "")
        for hit, right in list(zip(one.hits, one.right, strict=True))[:HITS_SHOWN]
    )
    expected = "".join(
        _figure(_uri(product, pictures), f"expected: {product.title or product.product_id}", "right")
        for product in wanted
    )
    return f"<section><h2>{escape(f'{one.mode.value}: {title}')}</h2>{photo}{expected}{found}</section>"


def _caption(hit: Hit) -> str:
    word = "" if hit.match.value == "unknown" else f", {hit.match.value}"
    return f"{hit.score:.3f}{word}: {hit.product.title or hit.product.product_id}"


def _uri(product: Product, pictures: Path) -> str:
    """Return where a product's first picture is, empty where nobody said."""
    uri = next((image.uri for image in product.images if image.uri), "")
    return uri if not uri or uri.startswith(("http://", "https://")) else str(pictures / uri)


def _figure(source: str, caption: str, kind: str, box: Box | None = None) -> str:
    shown = _source(source)
    picture = f'<img src="{shown}" alt="">' if shown else '<div class="none">no picture</div>'
    frame = "" if box is None else _frame(box)
    return (
        f'<figure class="{kind}"><span class="frame">{picture}{frame}</span>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _frame(box: Box) -> str:
    left, top = box.left * 100, box.top * 100
    width, height = (box.right - box.left) * 100, (box.bottom - box.top) * 100
    return f'<i class="box" style="left:{left:.2f}%;top:{top:.2f}%;width:{width:.2f}%;height:{height:.2f}%"></i>'


def _source(source: str) -> str:
    """Return what an <img> shows: a web address as it is, a file's content, or nothing where there is no such file."""
    if source.startswith(("http://", "https://")):
        return escape(source, quote=True)
    path = Path(source)
    if not source or not path.is_file() or path.stat().st_size > PICTURE_BYTES_MAX:
        return ""
    kind = mimetypes.guess_type(path.name)[0] or "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
