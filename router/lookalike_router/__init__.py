"""Spreads a shop's vectors over Milvus shards and searches them as one. Knows no images, no wire and no server."""
