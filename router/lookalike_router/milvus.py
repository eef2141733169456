"""A shard that is a Milvus server, of any kind from 2.3 on: Lite, standalone, cluster. The only user of pymilvus."""


class MilvusShard:
    """One collection on one Milvus endpoint."""

    def __init__(self, name: str, uri: str, *, weight: float = 1.0, token: str = "") -> None:
        self.name = name
        self.uri = uri
        self.weight = weight
        self._token = token
