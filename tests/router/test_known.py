from lookalike_router.columns import document
from lookalike_router.known import check_groups, check_scores, known_queries, known_rows
from lookalike_router.shard import Candidate


def answers(score_of: str, best_first: bool = True) -> list[list[Candidate]]:
    lists = []
    for query in known_queries():
        found = []
        for row in known_rows():
            product, length = float(row.vector @ query), float((row.vector @ row.vector) ** 0.5)
            distance = float(((row.vector - query) ** 2).sum())
            score = {"ip": product, "cosine": product / length, "l2": distance}[score_of]
            found.append(Candidate(row.product_id, row.image_id, 1, score, document({}, {})))
        lists.append(sorted(found, key=lambda hit: hit.score, reverse=best_first))
    return lists


def test_a_shard_that_multiplies_is_taken() -> None:
    assert check_scores(answers("ip")) == ""


def test_a_shard_that_measures_otherwise_is_refused() -> None:
    assert "inner product" in check_scores(answers("cosine"))
    assert "inner product" in check_scores(answers("l2", best_first=False))


def test_a_shard_that_answers_worst_first_is_refused() -> None:
    assert "best first" in check_scores(answers("ip", best_first=False))


def test_a_shard_that_lost_rows_is_refused() -> None:
    assert "lost rows" in check_scores([found[1:] for found in answers("ip")])


def test_groups_are_believed_only_where_they_are() -> None:
    [found, _] = answers("ip")
    assert not check_groups(found)
    assert check_groups([hit for hit in found if hit.image_id != "same"])
