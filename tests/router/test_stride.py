from lookalike_router.stride import FAST_S, ROWS_FIRST, ROWS_MIN, SLOW_S, Stride


def test_a_fast_server_gets_more_each_time_up_to_the_limit() -> None:
    stride = Stride(1_000)
    for _ in range(3):
        stride.learn(stride.rows, FAST_S / 2)
    assert stride.rows == 1_000


def test_a_slow_server_gets_less_down_to_the_least() -> None:
    stride = Stride(1_000)
    for _ in range(5):
        stride.learn(stride.rows, 2 * SLOW_S)
    assert stride.rows == ROWS_MIN


def test_few_rows_that_were_fast_say_nothing_of_many() -> None:
    stride = Stride(1_000)
    stride.learn(1, FAST_S / 2)
    assert stride.rows == ROWS_FIRST


def test_what_takes_neither_long_nor_short_stays() -> None:
    stride = Stride(1_000)
    stride.learn(ROWS_FIRST, (FAST_S + SLOW_S) / 2)
    assert stride.rows == ROWS_FIRST
