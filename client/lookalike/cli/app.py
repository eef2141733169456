"""Puts the commands together."""

import typer

from lookalike.cli.commands import doctor, evaluate, importing, product, rebalance, replicas, search, shards, verify
from lookalike.cli.desk import EXIT_CODES

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Shop by image: fill a shop, search it, look after it.",
    epilog=EXIT_CODES,
)
app.command("import")(importing.import_feed)
app.command()(search.search)
app.command("eval")(evaluate.evaluate)
app.add_typer(product.app, name="product")
app.add_typer(shards.app, name="shards")
app.add_typer(replicas.app, name="replicas")
app.add_typer(rebalance.app, name="rebalance")
app.command()(verify.verify)
app.command()(doctor.doctor)
