"""Writes the rows that failed beside their source, with the reason, in a form that can be mended and imported."""

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lookalike.cli.feed import Feed
from lookalike.cli.rows import ERROR_COLUMN, Problem
from lookalike.cli.tables import FolderTable


class FailedRows:
    """The file of failed rows of one import; made when the first row fails, removed when none does."""

    def __init__(self, feed: Feed) -> None:
        is_folder = isinstance(feed.table, FolderTable)
        source = feed.source.resolve()  # a folder may be given as "."
        self.path = source.with_name(
            f"{source.name}.failed.csv" if is_folder else f"{source.stem}.failed{source.suffix}"
        )
        self.rows = 0
        # A picture of a folder is named from the folder; its row, from beside the folder.
        self._prefix = source.name if is_folder else ""
        self._columns = [*(name for name in feed.table.columns if name != ERROR_COLUMN), ERROR_COLUMN]
        self._delimiter = feed.table.delimiter
        self._part = self.path.with_name(self.path.name + ".part")
        self._file: IO[str] | None = None

    def add(self, problems: tuple[Problem, ...]) -> None:
        """Write down rows that failed."""
        if problems and self._file is None:
            self._file = self._part.open("w", encoding="utf-8", errors="surrogateescape", newline="")
            if self._delimiter:
                csv.writer(self._file, delimiter=self._delimiter).writerow(self._columns)
        for problem in problems:
            self.rows += 1
            self._write(problem)

    def _write(self, problem: Problem) -> None:
        assert self._file is not None
        cells = {**problem.row.cells, ERROR_COLUMN: f"{problem.row.where}: {problem.message}"}
        if self._prefix:
            cells["image"] = f"{self._prefix}/{cells['image']}"
        if self._delimiter:
            csv.writer(self._file, delimiter=self._delimiter).writerow([cells.get(name, "") for name in self._columns])
        else:
            self._file.write(json.dumps(cells, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._part.replace(self.path)  # whole or not at all: an earlier file may be open in an editor
        elif kind is None:
            Path.unlink(self.path, missing_ok=True)
