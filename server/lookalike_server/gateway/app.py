"""Puts the gateway together: routes to services, pictures and page; whatever goes wrong becomes a problem.

A handler reads, calls, writes; what to do is decided in the services.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lookalike_server.gateway.body import Bodies
from lookalike_server.gateway.call import Method, called
from lookalike_server.gateway.guard import Guard
from lookalike_server.gateway.methods import OFFERS, Offer, method_of
from lookalike_server.gateway.openapi import document
from lookalike_server.gateway.page import Page, PageSettings
from lookalike_server.gateway.pictures import Pictures
from lookalike_server.gateway.problem import Problem, problem_of
from lookalike_server.gateway.query import query_message
from lookalike_server.gateway.reply import json_reply, message_reply
from lookalike_server.image import Limits
from lookalike_server.service import Services
from lookalike_server.status import refusal, rich_status

# A picture as base64, and its message around it.
BASE64_GROWTH = 4 / 3
REST_BYTES_MAX = 512 * 2**10

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class GatewaySettings:
    """What the gateway shows beside the services."""

    page: PageSettings
    images: Path | None
    """The folder of the catalogue's pictures; None: there are none to show."""
    photo: Limits


def gateway(services: Services, settings: GatewaySettings) -> ASGIApp:
    """Return the application."""
    bodies = Bodies(int(settings.photo.content_bytes * BASE64_GROWTH) + REST_BYTES_MAX)
    pictures, page = Pictures(settings.images, settings.photo), Page(settings.page)
    described = document(OFFERS)

    async def openapi(request: Request) -> Response:
        return json_reply(request, described)

    routes = [
        *(route(offer, method_of(offer, services), bodies) for offer in OFFERS),
        Route("/v1/images/{path:path}", answered(pictures.get), methods=["GET"]),
        Route("/v1/openapi.json", answered(openapi), methods=["GET"]),
        Route("/settings.json", answered(page.settings), methods=["GET"]),
        *(Route(path, answered(page.get), methods=["GET"]) for path in page.paths),
    ]
    handlers = {HTTPException: not_routed}
    return Guard(Starlette(routes=routes, exception_handlers=handlers))


def route(offer: Offer, method: Method, bodies: Bodies) -> Route:
    """Return the route of one method."""

    async def post(request: Request) -> Response:
        async with bodies.message(request, offer.request) as message:
            return message_reply(request, await called(method, message))

    async def get(request: Request) -> Response:
        message = query_message(offer.request, request.query_params, request.path_params)
        return message_reply(request, await called(method, message))

    # An id may hold slashes.
    path = offer.path.replace(f"{{{offer.path_field}}}", f"{{{offer.path_field}:path}}")
    return Route(path, answered(post if offer.verb == "POST" else get), methods=[offer.verb])


def answered(handler: Handler) -> Handler:
    """Wrap a handler so that whatever it raises becomes a problem."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Problem as problem:
            return refused(problem, request)
        except Exception as error:  # the border: nothing may pass it untranslated
            return refused(problem_of(rich_status(refusal(error))), request)

    return answer


def refused(problem: Problem, request: Request) -> Response:
    """Write a problem; whoever is still sending is told to hang up."""
    headers = {"Connection": "close"} if problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else None
    return problem.response(headers)


async def not_routed(request: Request, error: Exception) -> Response:
    """Say that nothing is there, or that it takes another method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    reason = "METHOD_NOT_ALLOWED" if status == HTTPStatus.METHOD_NOT_ALLOWED else "NO_SUCH_PLACE"
    detail = f"this address does not take {request.method}" if reason[0] == "M" else "there is nothing at this address"
    return Problem(status, reason, detail).response(dict(error.headers or {}))
