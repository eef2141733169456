import json

from lookalike_server.errors import BadField, BadFields, Overloaded
from lookalike_server.gateway.problem import problem_of
from lookalike_server.status import refusal, rich_status


def test_a_wait_is_told_in_the_header_and_in_the_body() -> None:
    response = problem_of(rich_status(refusal(Overloaded("64 wait; try again later", 0.5)))).response()
    told = json.loads(bytes(response.body))
    assert (response.status_code, told["reason"], told["retryAfterSeconds"]) == (429, "OVERLOADED", 0.5)
    assert response.headers["retry-after"] == "1"


def test_every_wrong_field_is_named() -> None:
    problem = problem_of(rich_status(refusal(BadFields((BadField("limit", "is 0"), BadField("offset", "is -1"))))))
    assert problem.fields == (("limit", "is 0"), ("offset", "is -1"))


def test_a_bug_tells_nothing_but_its_name() -> None:
    problem = problem_of(rich_status(refusal(KeyError("payload"))))
    assert (problem.status, problem.reason) == (500, "INTERNAL")
    assert "payload" not in problem.detail
