"""Every error of the API as a problem document (RFC 9457, application/problem+json).

``type`` is ``urn:twindisk:problem:<problem>``; the error's fields are members of the document. What is not one of our
errors is answered as ``internal`` and logged with its traceback: nothing of it goes out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from twindisk.errors import InvalidError, InvalidProblem, NotFoundError, NotFoundProblem, TwindiskError
from twindisk.node.log import Log
from twindisk.sentences import Told, tell

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:twindisk:problem:"


def problem_response(told: Told) -> JSONResponse:
    """Return the document for what an error tells."""
    fields = {key: value for key, value in told.fields.items() if value is not None}
    document = {
        **fields,
        "type": TYPE_PREFIX + told.problem,
        "title": told.title,
        "status": told.status,
        "detail": told.detail,
    }
    return JSONResponse(document, status_code=told.status, media_type=MEDIA_TYPE)


def install(app: FastAPI, log: Log) -> None:
    """Have the app answer all errors as problems."""

    async def ours(_request: Request, error: Exception) -> Response:
        return problem_response(tell(error) if isinstance(error, TwindiskError) else _internal())

    async def invalid(_request: Request, error: Exception) -> Response:
        return problem_response(tell(_validation(error)))

    async def http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 404:  # noqa: PLR2004 - Not Found
            return problem_response(tell(NotFoundError(NotFoundProblem.ROUTE, name=request.url.path)))
        detail = str(error.detail) if isinstance(error, HTTPException) else ""
        return problem_response(Told(status, "http", detail, f"{request.method} {request.url.path}: {detail}.", {}))

    app.add_exception_handler(TwindiskError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)

    @app.middleware("http")
    async def unexpected(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            return await go_on(request)
        except Exception:
            log.exception("a request failed", method=request.method, path=request.url.path)
            return problem_response(_internal())


def _validation(error: Exception) -> TwindiskError:
    if not isinstance(error, RequestValidationError):
        return InvalidError(InvalidProblem.REQUEST, detail=str(error))
    told = [f"{'.'.join(str(part) for part in found['loc'][1:]) or 'body'}: {found['msg']}" for found in error.errors()]
    return InvalidError(InvalidProblem.REQUEST, detail="; ".join(told))


def _internal() -> Told:
    return Told(500, "internal", "Internal error", "twindiskd met an internal error; its log says more.", {})
