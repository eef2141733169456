"""How long calls wait and how much is in flight, unless the caller says otherwise."""

# A search takes well under a second; ten cover a cold start and a few retries.
SEARCH_TIMEOUT_S = 10.0

# One product may bring 32 pictures, and a picture that is not known goes through the model.
WRITE_TIMEOUT_S = 60.0

# Reads ask the shards and no model.
READ_TIMEOUT_S = 10.0

# A new replica is asked for its identity and compared with known vectors first, on a server that may be starting.
CHANGE_TIMEOUT_S = 60.0

# A stream has no deadline of its own: it ends when nothing has come back for so long while items wait.
STREAM_SILENCE_S = 60.0

# Enough to fill the server's next batch while this one runs; few enough that a stopped import has little unknown.
IN_FLIGHT = 32

# However many items are in flight, their pictures stay within this.
IN_FLIGHT_BYTES_MAX = 64 * 2**20

# Products per request of a listing; the server takes up to 500.
PAGE_SIZE = 100
