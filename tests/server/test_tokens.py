from lookalike_server.image import Limits, Picture, decode
from lookalike_server.tokens import Held, Tokens
from tests.server.photos import jpeg, plain
from tests.server.test_deadline import Clock

PICTURE: Picture = decode(jpeg(plain((1, 2, 3), 100, 50)), Limits())
BYTES = 100 * 50 * 4


def test_a_photo_is_found_by_its_token_until_it_was_unused_for_too_long() -> None:
    clock = Clock()
    tokens = Tokens(10 * BYTES, 60, clock)
    held = Held(PICTURE)
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
    first, second = tokens.keep(Held(PICTURE)), tokens.keep(Held(PICTURE))
    tokens.find(first)
    tokens.keep(Held(PICTURE))
    assert tokens.find(second) is None
    assert tokens.find(first) is not None
    assert tokens.bytes_held == 2 * BYTES


def test_a_photo_larger_than_all_the_room_is_not_kept() -> None:
    tokens = Tokens(BYTES - 1, 60, Clock())
    assert tokens.find(tokens.keep(Held(PICTURE))) is None
    assert (len(tokens), tokens.bytes_held) == (0, 0)


def test_a_sweep_lets_go_of_what_nobody_asks_for() -> None:
    clock = Clock()
    tokens = Tokens(10 * BYTES, 60, clock)
    tokens.keep(Held(PICTURE))
    clock.now += 30
    tokens.keep(Held(PICTURE))
    clock.now += 30
    tokens.sweep()
    assert (len(tokens), tokens.bytes_held) == (1, BYTES)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = Tokens(10**9, 60, Clock())
    made = {tokens.keep(Held(PICTURE)) for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 22
