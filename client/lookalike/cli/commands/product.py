"""`lookalike product get|list|delete`: the catalogue, product by product."""

import itertools
from typing import Annotated

import typer

from lookalike.cli import render
from lookalike.cli.desk import DEFAULT_SERVER, FAILED, PARTIAL, FilterOption, JsonOption, ServerOption, opened
from lookalike.cli.expression import parse
from lookalike.errors import NotFound

app = typer.Typer(no_args_is_help=True, help="Look at the products of the shop, and delete some.")

ProductArgument = Annotated[str, typer.Argument(metavar="PRODUCT_ID", help="The product's id.")]


@app.command()
def get(product_id: ProductArgument, server: ServerOption = DEFAULT_SERVER, json: JsonOption = False) -> None:
    """Show one product."""
    with opened(server, json) as desk:
        product = desk.client.get(product_id)
        desk.show(product, render.product(product))


@app.command("list")
def list_products(
    limit: Annotated[int, typer.Option("--limit", "-n", help="Products to show at most; 0: all.")] = 50,
    filter: FilterOption = None,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """List products, in an order of the server's own; with --json one product a line."""
    with opened(server, json) as desk:
        found = desk.client.list(filter=None if filter is None else parse(filter))
        if json:
            for product in itertools.islice(found, limit or None):
                desk.show(product)
            return
        # One more than shown, to know whether there are more.
        products = list(itertools.islice(found, limit + 1 if limit else None))
        desk.show(None, render.products(products[: limit or None]) if products else "no products")
        if limit and len(products) > limit:
            desk.warn(f"there are more: --limit 0 shows all, {limit} are shown")


@app.command()
def delete(
    product_ids: Annotated[list[str], typer.Argument(metavar="PRODUCT_ID...", help="The products' ids.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Delete products with all their pictures."""
    if not yes:
        what = product_ids[0] if len(product_ids) == 1 else f"{len(product_ids)} products"
        typer.confirm(f"Delete {what} with all pictures?", abort=True, err=True)
    with opened(server, json) as desk:
        gone, unknown = {}, []
        for product_id in product_ids:
            try:
                gone[product_id] = desk.client.delete(product_id)
            except NotFound:
                unknown.append(product_id)
        lines = [f"deleted {product_id} with {images} pictures" for product_id, images in gone.items()]
        desk.show({"deleted": gone, "not_found": unknown}, *lines)
        for product_id in unknown:
            desk.warn(f"there is no product {product_id!r}")
        if unknown:
            raise typer.Exit(PARTIAL if gone else FAILED)
