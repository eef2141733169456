"""`lookalike eval`: a ground truth in, figures and the worst misses out."""

import json as jsons
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import misses_page, progress, score_table, scoring
from lookalike.cli.desk import DEFAULT_SERVER, PARTIAL, JsonOption, ServerOption, opened
from lookalike.cli.evaluation import Evaluation
from lookalike.cli.jsonable import jsonable
from lookalike.cli.truth import read_truth


def evaluate(
    truth: Annotated[Path, typer.Argument(metavar="GROUND_TRUTH", help="A .csv or .jsonl file.")],
    out: Annotated[Path | None, typer.Option(help="Write the report here, as JSON.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the worst misses here, as HTML with pictures.")] = None,
    misses: Annotated[int, typer.Option(min=0, help="Misses to show at most.")] = 30,
    pictures: Annotated[
        Path | None, typer.Option(help="Where the catalogue's pictures lie; else beside GROUND_TRUTH.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Measure how well the shop finds what photos show.

    A row of GROUND_TRUTH has photo, a path relative to the file, and product_id or class (the attribute `class` of
    products, else their category); a photo with neither shows nothing of the shop. With box (left, top, right, bottom
    in fractions) the true box and a tap are tried too; category splits the figures. Rows of one photo are the
    products that it shows. Exits with 4 where a photo was refused or a product of the ground truth is not there.
    """
    with opened(server, json) as desk:
        photos = read_truth(truth)
        run = Evaluation(desk.client)
        with progress.counted(desk.err, hidden=json) as bar:
            judged = [one for few in bar.track(run.run(photos), total=len(photos), description="asking") for one in few]
        told = scoring.report(judged, model=run.model, unknown=run.unknown, failed=run.failed)
        desk.show(told, *score_table.drawn(told))
        if out is not None:
            out.write_text(jsons.dumps(jsonable(told), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if page is not None:
            shown = misses_page.page(scoring.worst(judged, misses), run.products, pictures or truth.parent)
            page.write_text(shown, encoding="utf-8")
        if run.failed or run.unknown:
            raise typer.Exit(PARTIAL)
