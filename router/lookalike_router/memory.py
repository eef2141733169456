"""A shard in this process's memory: the truth that the others are compared with. Knows no Milvus."""


class MemoryShard:
    """Rows in a dict, searched by brute force."""

    def __init__(self, name: str, *, weight: float = 1.0) -> None:
        self.name = name
        self.uri = "memory:"
        self.weight = weight
