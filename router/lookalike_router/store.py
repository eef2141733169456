"""Keeps the placement map, its epoch and the model's name in a small SQL database. Knows no vectors."""


class SqlStore:
    """The store at a SQLAlchemy URL, for example "sqlite:///lookalike-data/placement.db"."""

    def __init__(self, url: str) -> None:
        self.url = url
