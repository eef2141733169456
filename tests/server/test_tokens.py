from lookalike_server.tokens import Held, Tokens
from tests.server.test_deadline import Clock

CONTENT = bytes(10_000)
BYTES = Held(CONTENT).bytes_held


def test_a_photo_is_found_by_its_token_until_it_was_unused_for_too_long() -> None:
    clock = Clock()
    tokens = Tokens(10 * BYTES, 60, clock)
    held = Held(CONTENT)
    token = tokens.keep(held)
    clock.now += 59
    assert tokens.find(token) is held
    clock.now += 59
    assert tokens.find(token) is held
    clock.now += 60
    assert tokens.find(token) is None
    assert tokens.bytes_held == 0


def test_the_longest_unused_photo_makes_room() -> None:
    tokens = Tokens(2 * BYTES, 60, Clock())
    first, second = tokens.keep(Held(CONTENT)), tokens.keep(Held(CONTENT))
    tokens.find(first)
    tokens.keep(Held(CONTENT))
    assert tokens.find(second) is None
    assert tokens.find(first) is not None
    assert tokens.bytes_held == 2 * BYTES


def test_a_photo_larger_than_all_the_room_is_not_kept() -> None:
    tokens = Tokens(BYTES - 1, 60, Clock())
    assert tokens.find(tokens.keep(Held(CONTENT))) is None
    assert (len(tokens), tokens.bytes_held) == (0, 0)


def test_a_sweep_lets_go_of_what_nobody_asks_for() -> None:
    clock = Clock()
    tokens = Tokens(10 * BYTES, 60, clock)
    tokens.keep(Held(CONTENT))
    clock.now += 30
    tokens.keep(Held(CONTENT))
    clock.now += 30
    tokens.sweep()
    assert (len(tokens), tokens.bytes_held) == (1, BYTES)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = Tokens(10**9, 60, Clock())
    made = {tokens.keep(Held(CONTENT)) for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 22
