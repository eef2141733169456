"""Puts the commands together."""

import typer

from lookalike.cli.commands import importing, product, search, state
from lookalike.cli.desk import EXIT_CODES

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Shop by image: fill a shop, search it, look after it.",
    epilog=EXIT_CODES,
)
app.command("import")(importing.import_feed)
app.command()(search.search)
app.add_typer(product.app, name="product")
app.command()(state.shards)
app.command()(state.doctor)
