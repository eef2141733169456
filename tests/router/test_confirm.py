from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lookalike_router.confirm import ROWS_AT_ONCE, batches


@given(st.dictionaries(st.integers(0, 300).map(str), st.integers(0, 2 * ROWS_AT_ONCE), max_size=50))
def test_batches_hold_every_product_once_in_order_and_few_rows_or_one_product(rows: dict[str, int]) -> None:
    made = list(batches(rows, rows))
    assert [one for batch in made for one in batch] == list(rows)
    assert all(batch for batch in made)
    assert all(sum(rows[one] for one in batch) <= ROWS_AT_ONCE or len(batch) == 1 for batch in made)
    assert all(sum(rows[one] for one in first) + rows[second[0]] > ROWS_AT_ONCE for first, second in pairwise(made))
