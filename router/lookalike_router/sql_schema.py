"""Names the tables of the store. Knows no transaction."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table

# Raised when an older program could not read what a newer one writes.
SCHEMA_VERSION = "4"

METADATA = MetaData()
FACTS = Table("facts", METADATA, Column("name", String, primary_key=True), Column("value", String, nullable=False))
COUNTERS = Table(
    "counters",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
SHARDS = Table(
    "shards",
    METADATA,
    Column("name", String, primary_key=True),
    Column("weight", Float, nullable=False),
    Column("next_replica", Integer, nullable=False),
    Column("draining", Boolean, nullable=False, default=False),
)
REPLICAS = Table(
    "replicas",
    METADATA,
    Column("name", String, primary_key=True),
    Column("shard", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("uri", String, nullable=False, unique=True),
    Column("sync", String, nullable=False),
)
OWNERS = Table(
    "owners",
    METADATA,
    Column("first_slot", Integer, primary_key=True),
    Column("last_slot", Integer, nullable=False),
    Column("shard", String, nullable=False),
)
ROUTERS = Table(
    "routers",
    METADATA,
    Column("router", String, primary_key=True),
    Column("until", Float, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)
HOLDS = Table(
    "holds",
    METADATA,
    Column("product_id", String, primary_key=True),
    Column("router", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("let_go", Boolean, nullable=False),
    Column("unfinished", String, nullable=False),
)
HINTS = Table(
    "hints",
    METADATA,
    Column("replica", String, primary_key=True),
    Column("product_id", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("unknown", Boolean, nullable=False),
    Column("recheck", Boolean, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("at", Float, nullable=False),
    Index("hints_by_product", "product_id"),
)
TOMBSTONES = Table(
    "tombstones",
    METADATA,
    Column("product_id", String, primary_key=True),
    Column("number", BigInteger, nullable=False, index=True),
    Column("version", BigInteger, nullable=False),
    Column("replaced", Boolean, nullable=False),
    Column("at", Float, nullable=False, index=True),
)
ANSWERS = Table(
    "answers",
    METADATA,
    Column("request_id", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("text", String, nullable=False),
    Column("at", Float, nullable=False, index=True),
)
DUTIES = Table(
    "duties",
    METADATA,
    Column("duty", String, primary_key=True),
    Column("router", String, nullable=False),
    Column("until", Float, nullable=False),
)
PROGRESS = Table(
    "progress",
    METADATA,
    Column("duty", String, primary_key=True),
    Column("text", String, nullable=False),
)
JOBS = Table(
    "jobs",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("shard", String, nullable=False),
    Column("state", String, nullable=False),
    Column("rows_per_s", Float, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("quiet_at", Float, nullable=False),
    Column("router", String, nullable=False),
    Column("message", String, nullable=False),
)
MOVES = Table(
    "moves",
    METADATA,
    Column("job", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("source", String, nullable=False),
    Column("target", String, nullable=False),
    Column("slots", String, nullable=False),
    Column("step", String, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("proof", String, nullable=False),
    Column("pauses", Integer, nullable=False),
    Column("paused_s", Float, nullable=False),
    Column("pause_ends_at", Float, nullable=False),
    Column("flipped_at", Float, nullable=False),
)
