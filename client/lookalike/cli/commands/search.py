"""`lookalike search`: a photo in, a table of products out."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import explanation, render
from lookalike.cli.desk import DEFAULT_SERVER, FilterOption, JsonOption, Misuse, ServerOption, opened
from lookalike.cli.expression import parse
from lookalike.types import Box, Match, Point


def search(
    photo: Annotated[Path, typer.Argument(help="The picture: JPEG, PNG, WebP, AVIF or GIF.")],
    limit: Annotated[int, typer.Option("--limit", "-n", help="Products to show at most.")] = 10,
    offset: Annotated[int, typer.Option(help="Products to leave out at the front.")] = 0,
    box: Annotated[str | None, typer.Option(metavar="L,T,R,B", help="Search this part: fractions, 0 to 1.")] = None,
    point: Annotated[str | None, typer.Option(metavar="X,Y", help="Search the product at this point.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Search the whole picture.")] = False,
    filter: FilterOption = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out weaker matches, -1 to 1.")] = None,
    min_match: Annotated[Match | None, typer.Option(help="Leave out what is less alike than that.")] = None,
    min_coverage: Annotated[float, typer.Option(help="Fail if less of the shop answers, 0 to 1.")] = 0.0,
    explain: Annotated[bool, typer.Option("--explain", help="Show how each shard came to its part.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Find the products that look like a photo."""
    with opened(server, json) as desk:
        result = desk.client.search(
            photo,
            box=None if box is None else Box(*_fractions("--box", box, 4)),
            point=None if point is None else Point(*_fractions("--point", point, 2)),
            whole_image=whole,
            limit=limit,
            offset=offset,
            filter=None if filter is None else parse(filter),
            score_min=min_score,
            match_min=min_match,
            coverage_min=min_coverage,
            explain=explain,
        )
        found = render.hits(result.hits) if result.hits else "nothing found"
        why = () if result.explanation is None else ("", explanation.drawn(result.explanation))
        desk.show(result, found, *render.searched(result), *why)
        if result.nothing_alike:
            desk.warn("nothing like it in this shop: even the best of these is no match")
        for caveat in render.caveats(result.coverage):
            desk.warn(caveat)


def _fractions(option: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        example = "0.1,0.2,0.5,0.9" if count == 4 else "0.5,0.5"
        raise Misuse(f"{option} takes {count} numbers joined by commas, for example {example}, not {text!r}")
    return numbers
