"""One request to the API, and how an endpoint is declared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from werkzeug.wrappers import Request, Response

from storefront.emulator.errors import CrashError, InvalidRequestError, Problem
from storefront.emulator.queries import Query
from storefront.emulator.records import Body, Session
from storefront.emulator.services import Services, base_url
from storefront.emulator.validation import check_uuid

#: The scopes that let a token in, any one of them, in the order the service names them; or
#: `public` for no token at all, or `customer` for a customer session's.
Access: TypeAlias = tuple[str, ...] | Literal["public", "customer"]


@dataclass(frozen=True)
class Call:
    """A request that was let in."""

    #: The store that the token belongs to.
    services: Services
    request: Request
    values: Mapping[str, str]
    #: The customer session of a `customer` endpoint.
    session: Session | None = None

    @property
    def base_url(self) -> str:
        """The origin the client used."""
        return base_url(self.request)

    @cached_property
    def query(self) -> Query:
        """The query string."""
        return Query(self.request.args)

    @property
    def id(self) -> str:
        """The id in the path.

        :raises InvalidRequestError: it is no UUID of version 4.
        """
        return check_uuid(self.values["id"], ("path", "id"))

    @property
    def customer_id(self) -> str:
        """Whose session this is, on a `customer` endpoint."""
        assert self.session is not None
        return self.session.customer_id

    def body(self) -> Body:
        """The JSON object that was sent.

        :raises InvalidRequestError: nothing was, or something else.
        """
        body = self.json()
        if not isinstance(body, dict):
            message = "Input should be a valid dictionary or object to extract fields from"
            raise InvalidRequestError([Problem("model_attributes_type", ("body",), message, body)])
        return body

    def json(self) -> Any:
        """What was sent, read as JSON unless it says that it is something else.

        :raises InvalidRequestError: nothing was, or it is no JSON.
        :raises CrashError: JSON that the service breaks on.
        """
        raw = self.request.get_data()
        kind = self.request.mimetype
        if raw and kind and not re.fullmatch(r"application/(.*\+)?json", kind):
            return raw.decode(errors="replace")
        try:
            body = json.loads(raw) if raw else None
        except ValueError as error:
            at, reason = 0, "Not UTF-8"
            if isinstance(error, json.JSONDecodeError):
                at, reason = error.pos, error.msg
            ctx = {"error": reason}
            problem = Problem("json_invalid", ("body", at), "JSON decode error", {}, ctx)
            raise InvalidRequestError([problem]) from error
        except RecursionError as error:
            raise CrashError from error
        if body is None:
            raise InvalidRequestError([Problem("missing", ("body",), "Field required")])
        return body


#: Answers with a JSON body, with a body and a status, or with a response of its own.
Endpoint: TypeAlias = Callable[[Call], Body | tuple[Body | None, int] | Response]


@dataclass(frozen=True)
class ApiRoute:
    """One endpoint: a werkzeug rule, a method, who is let in, and what answers."""

    rule: str
    method: str
    access: Access
    endpoint: Endpoint


def scopes(resource: str) -> tuple[str, str]:
    """The scopes that may read a resource."""
    return f"{resource}:read", f"{resource}:write"


def by(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """A sort key: the value under that name."""
    return itemgetter(name)
