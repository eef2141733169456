from dataclasses import fields

import pytest

from lookalike_server.config import BadSetting, Config, ShardAddress, env_of, flag_of, shard_addresses, told


def test_a_flag_wins_over_the_environment_which_wins_over_the_default() -> None:
    env = {"LOOKALIKE_PORT": "1234", "LOOKALIKE_QUEUE": "5"}
    config = Config.read(["--port", "4321"], env)
    assert (config.port, config.queue, config.batch) == (4321, 5, 16)


def test_untold_the_server_listens_on_loopback_only() -> None:
    config = Config.read([], {})
    assert (config.host, config.port) == ("127.0.0.1", 50051)


@pytest.mark.parametrize("one", fields(Config), ids=lambda one: one.name)
def test_help_names_every_flag_and_its_variable(one: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Config.read(["--help"], {})
    shown = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    name = getattr(one, "name")  # noqa: B009
    assert ended.value.code == 0
    assert flag_of(name) in shown
    assert env_of(name) in shown


@pytest.mark.parametrize(
    ("argv", "env", "wrong"),
    [
        (["--port", "70000"], {}, "--port (LOOKALIKE_PORT): '70000' is not a whole number from 0 to 65535"),
        ([], {"LOOKALIKE_PORT": "x"}, "--port (LOOKALIKE_PORT): 'x' is not a whole number"),
        (["--drain-s", "nan"], {}, "--drain-s (LOOKALIKE_DRAIN_S): 'nan' is not a number"),
        (["--log-level", "loud"], {}, "is not one of debug, info, warning, error"),
        (["--embedder", "/nowhere/at/all.zip"], {}, "does not exist"),
        (["--host", " "], {}, "is empty"),
        (["--samples", "/proc/version"], {}, "is no folder"),
        (["--shards", "a=ftp://x"], {}, "the address of shard a is no address such as http://127.0.0.1:19530"),
        (["--shards", "a=http://x:1|"], {}, "the address of shard a is no address such as"),
        (["--shards", "a=http://x:1/db"], {}, "the address of shard a is no address such as"),
        (["--shards", "a=http://x:high"], {}, "the address of shard a is no address such as"),
        (["--shards", "a=http://x:1|http://X:1/"], {}, "the address http://x:1 comes twice"),
        (["--shards", "a=http://x:1|http://y:1,b=http://y:1"], {}, "the address http://y:1 comes twice"),
        (["--shards", "a=" + "|".join(f"http://x:{n}" for n in range(1, 18))], {}, "shard a has 17 replicas"),
        (["--shards", "a=http://u:pass@x:1"], {}, "give them to the server by --shard-token"),
        (["--store", "mysql://h/d"], {}, "is neither a file nor a URL that begins with postgresql://"),
        (["--shards", "http://127.0.0.1:1"], {}, "does not start with a shard's name"),
        (["--shards", "a=http://x:1,a=http://y:1"], {}, "the name a comes twice"),
        (["--shards", "a=http://x:1,b=http://x:1"], {}, "the address http://x:1 comes twice"),
        (["--shards", "a=http://x:1*0"], {}, "is not a number from 0.01 to 1000"),
        (["--nonsense", "1"], {}, "unrecognized arguments"),
    ],
)
def test_a_wrong_setting_ends_the_program_with_its_names_and_code_2(
    argv: list[str], env: dict[str, str], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        Config.read(argv, env)
    assert ended.value.code == 2
    assert wrong in capsys.readouterr().err


def test_shards_have_names_addresses_and_weights() -> None:
    assert shard_addresses("a=http://10.0.0.1:19530, b=https://x.example:443*2.5") == (
        ShardAddress("a", ("http://10.0.0.1:19530",), 1.0),
        ShardAddress("b", ("https://x.example:443",), 2.5),
    )


def test_a_shard_has_replicas_that_share_its_weight() -> None:
    assert shard_addresses("a=http://x:1|http://[::1]:2*2,b=http://y:1") == (
        ShardAddress("a", ("http://x:1", "http://[::1]:2"), 2.0),
        ShardAddress("b", ("http://y:1",), 1.0),
    )


def test_a_store_is_a_path_or_a_database_url() -> None:
    assert Config.read(["--store", "x/y.db"], {}).store == "sqlite:///x/y.db"
    assert Config.read(["--store", "sqlite:///x/y.db"], {}).store == "sqlite:///x/y.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "PostgreSQL"])
def test_a_store_in_postgresql_is_asked_by_our_driver(scheme: str) -> None:
    assert Config.read(["--store", f"{scheme}://u:p@h/d"], {}).store == "postgresql+psycopg://u:p@h/d"


def test_a_secret_is_not_shown() -> None:
    told = ["--shard-token", "s3cret", "--store", "postgresql://u:s3cret@h/d"]
    assert "s3cret" not in repr(Config.read(told, {}))


@pytest.mark.parametrize(
    "told",
    [
        ["--store", "mysql://u:s3cret@h/d"],
        ["--shards", "a=http://u:s3cret@h:1"],
        ["--shards", "a=http://u:s3,cret@h:1"],
        ["--shards", "u:s3cret@h:1"],
        ["--shards", "a=http://u:s3=cret@h:1,b=http://u:s3cret@h:1"],
    ],
)
def test_credentials_in_a_wrong_setting_are_not_shown(told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Config.read(told, {})
    said = capsys.readouterr().err
    assert told[0] in said
    assert not any(part in said for part in ("s3", "cret"))


def test_what_was_said_wrongly_is_chained() -> None:
    with pytest.raises(BadSetting) as wrong:
        told("port", int, 1, {"port": "x"}, {})
    assert isinstance(wrong.value.__cause__, ValueError)
