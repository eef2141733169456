import pytest

from lookalike_server.address import REPLICA_NAME, endpoint, without_credentials


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("http://127.0.0.1:19530", "http://127.0.0.1:19530"),
        (" HTTP://Shard.Example:1/ ", "http://shard.example:1"),
        ("https://in03.example", "https://in03.example"),
        ("http://[::1]:19530", "http://[::1]:19530"),
    ],
)
def test_an_address_is_written_in_one_way(written: str, compared: str) -> None:
    assert endpoint(written) == compared


@pytest.mark.parametrize(
    "wrong",
    ["", "x:1", "ftp://x:1", "http://", "http://x:0x1", "http://x:70000", "http://x/db", "http://x:1?a=b", "http://[x"],
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no address such as"):
        endpoint(wrong)


@pytest.mark.parametrize("secret", ["http://user:s3cret@x:1", "http://s3cret@x:1", "http://@x:1"])
def test_an_address_with_credentials_is_refused_without_saying_them(secret: str) -> None:
    with pytest.raises(ValueError, match="--shard-token") as refused:
        endpoint(secret)
    assert "s3cret" not in str(refused.value)


def test_credentials_are_hidden_and_the_rest_is_shown() -> None:
    assert without_credentials("a=http://u:p@w/d@x:1") == "a=http://***@x:1"
    assert without_credentials("u:p@x:1") == "***@x:1"
    assert without_credentials("a=http://x:1") == "a=http://x:1"


@pytest.mark.parametrize(
    ("name", "good"), [("a/1", True), ("a-b.c_D/12", True), ("a", False), ("a/0", False), ("/1", False)]
)
def test_a_replicas_name_is_its_shards_and_a_number(name: str, good: bool) -> None:
    assert (REPLICA_NAME.fullmatch(name) is not None) == good
