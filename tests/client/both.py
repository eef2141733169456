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

    def __init__(self, address: str, retry: RetryPolicy) -> None:
        self._runner = asyncio.Runner()
        try:
            self._client = self._runner.run(_made(address, retry))
        except BaseException:
            self._runner.close()
            raise

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


async def _made(address: str, retry: RetryPolicy) -> AsyncClient:
    return AsyncClient(address, retry=retry)


def opened(kind: str, address: str, retry: RetryPolicy = QUICK) -> Shop:
    """Return a client of `kind`, blocking or async."""
    return Client(address, retry=retry) if kind == "blocking" else Blocking(address, retry)
