"""Makes an AsyncClient look like a Client, so that one test asks both."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from lookalike import AsyncClient, Client, RetryPolicy

# Waits so short that no test notices, and as many tries as in earnest.
QUICK = RetryPolicy(backoff_first_s=0.001, backoff_max_s=0.002)

Shop = Any
"""A Client, or an AsyncClient behind `Blocking`: both have the same calls, which is what the tests show."""


class Blocking:
    """Runs each call of an AsyncClient to its end; an async iterator becomes an iterator."""

    def __init__(self, client: Any, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    @property
    def rebalance(self) -> "Blocking":
        return Blocking(self._client.rebalance, self._runner)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            return self._iterated(answer) if hasattr(answer, "__anext__") else self._runner.run(answer)

        return call

    def _iterated(self, answers: Any) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(answers, end)

        try:
            while (answer := self._runner.run(following())) is not end:
                yield answer
        finally:
            self._runner.run(answers.aclose())

    def close(self) -> None:
        """Close the client and its loop."""
        self._runner.run(self._client.close())
        self._runner.close()


def _blocking(address: str, retry: RetryPolicy) -> Blocking:
    runner = asyncio.Runner()
    try:
        return Blocking(runner.run(_made(address, retry)), runner)
    except BaseException:
        runner.close()
        raise


async def _made(address: str, retry: RetryPolicy) -> AsyncClient:
    return AsyncClient(address, retry=retry)


def opened(kind: str, address: str, retry: RetryPolicy = QUICK) -> Shop:
    """Return a client of `kind`, blocking or async."""
    return Client(address, retry=retry) if kind == "blocking" else _blocking(address, retry)
