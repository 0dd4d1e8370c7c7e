"""``/embed.js``: the custom element ``<buy-button>`` for other sites, at an address that stays."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from storefront.state import get_state
from storefront.web.encodings import IDENTITY, available, choose, compress
from storefront.web.policy import public_caching
from storefront.web.prepared import Answer
from storefront.web.readers import FOR_READERS
from storefront.web.responses import OpenResponse, shorten_if_known

_FILE: Final = Path(__file__).parent.parent / "static" / "storefront" / "embed.js"


def embed_js() -> BaseResponse:
    """``GET /embed.js``: the script, whether or not the catalogue is there."""
    state = get_state()
    offered = available() if state.settings.compress_pages else ()
    encoding = choose(request.headers.get("Accept-Encoding"), offered)
    kept: dict[str, Answer] = state.prepared.setdefault("embed.js", {})
    if encoding not in kept:
        plain = _FILE.read_bytes()
        body = compress(plain, encoding)
        tag = blake2b(plain, digest_size=12).hexdigest()
        headers = [
            ("Content-Type", "text/javascript; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("ETag", f'"{tag}"' if encoding == IDENTITY else f'"{tag}-{encoding}"'),
            ("X-Content-Type-Options", "nosniff"),
            public_caching(state),
            *FOR_READERS,
        ]
        if offered:
            headers.append(("Vary", "Accept-Encoding"))
        if encoding != IDENTITY:
            headers.append(("Content-Encoding", encoding))
        kept[encoding] = ("200 OK", headers, (body,))
    status, headers, content = kept[encoding]
    response = OpenResponse((status, list(headers), content))
    if "HTTP_IF_NONE_MATCH" in request.environ:
        shorten_if_known(response)
    return response
