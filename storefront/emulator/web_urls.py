"""URLs as the service saves them: parsed and written anew by the rules of the WHATWG.

Source: https://url.spec.whatwg.org/ for the rules, recordings of 2026-11-22 for the complaints and
for what is done about `{CHECKOUT_ID}`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final

from storefront.emulator.bodies import invalid
from storefront.emulator.validation import Loc

_LONGEST: Final = 2083
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ALWAYS: Final = frozenset(chr(code) for code in (*range(0x20), 0x7F))
_FRAGMENT: Final = _ALWAYS | set(' "<>`')
_QUERY: Final = _ALWAYS | set(" \"#<>'")
_PATH: Final = _ALWAYS | set(' "#<>?`{}')
_USER: Final = _PATH | set("/:;=@[\\]^|")
_NOT_IN_HOST: Final = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")
_PLACEHOLDER: Final = "{CHECKOUT_ID}"
_PLACEHOLDER_ENCODED: Final = "%7BCHECKOUT_ID%7D"
_PRIVATE: Final = "Value error, Webhook URLs cannot point to localhost or private IP addresses."


class _Unparsable(ValueError):
    """What is wrong with a URL, in the words of the parser the service uses."""


def web_url(value: Any, loc: Loc) -> str:
    """An http or https URL, normalised.

    :raises InvalidRequestError: it is none, or longer than 2083 characters.
    """
    return _read(value, loc, ("http", "https"))


def success_url(value: Any, loc: Loc) -> str:
    """Such a URL in which `{CHECKOUT_ID}` stays readable.

    :raises InvalidRequestError: it is none, or longer than 2083 characters.
    """
    return web_url(value, loc).replace(_PLACEHOLDER_ENCODED, _PLACEHOLDER)


def webhook_url(value: Any, loc: Loc) -> str:
    """An https URL of some other machine.

    :raises InvalidRequestError: it is none.
    """
    url = _read(value, loc, ("https",))
    host = re.split(r"[/?#]", url.partition("://")[2])[0].rpartition("@")[2]
    host = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    try:
        is_private = not ipaddress.ip_address(host).is_global
    except ValueError:
        is_private = host == "localhost" or host.endswith(".localhost")
    if is_private:
        raise invalid("value_error", loc, _PRIVATE, value, {"error": {}})
    return url


def _read(value: Any, loc: Loc, schemes: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise invalid("url_type", loc, "URL input should be a string or URL", value)
    if len(value) > _LONGEST:
        message = f"URL should have at most {_LONGEST} characters"
        raise invalid("url_too_long", loc, message, value, {"max_length": _LONGEST})
    try:
        scheme, rest = _split_scheme(value)
        if scheme not in schemes:
            expected = " or ".join(f"'{known}'" for known in schemes)
            message = f"URL scheme should be {expected}"
            raise invalid("url_scheme", loc, message, value, {"expected_schemes": expected})
        return _normalise(scheme, rest)
    except _Unparsable as error:
        message = f"Input should be a valid URL, {error}"
        raise invalid("url_parsing", loc, message, value, {"error": str(error)}) from None


def _split_scheme(value: str) -> tuple[str, str]:
    trimmed = re.sub(r"[\t\n\r]", "", value.strip("".join(map(chr, range(0x21)))))
    if not trimmed:
        raise _Unparsable("input is empty")
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", trimmed)
    if found is None:
        raise _Unparsable("relative URL without a base")
    return found[1].lower(), trimmed[found.end() :]


def _normalise(scheme: str, rest: str) -> str:
    head, has_fragment, fragment = rest.partition("#")
    head, has_query, query = head.partition("?")
    authority, _, path = head.replace("\\", "/").lstrip("/").partition("/")
    user, has_user, host = authority.rpartition("@")
    url = f"{scheme}://"
    if has_user:
        name, has_password, password = user.partition(":")
        url += _encode(name, _USER)
        url += f":{_encode(password, _USER)}" if has_password and password else ""
        url += "@" if name or password else ""
    url += _host_and_port(host, scheme)
    url += _path(path)
    url += f"?{_encode(query, _QUERY)}" if has_query else ""
    url += f"#{_encode(fragment, _FRAGMENT)}" if has_fragment else ""
    return url


def _encode(text: str, unsafe: frozenset[str]) -> str:
    return "".join(
        "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))
        if character in unsafe or character > "\x7f"
        else character
        for character in text
    )


def _host_and_port(authority: str, scheme: str) -> str:
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(.*))?", authority, re.DOTALL)
    if found is None:
        raise _Unparsable("invalid port number")
    host = _host(found[1])
    port = found[2]
    if not port:
        return host
    if not re.fullmatch(r"[0-9]{1,9}", port) or int(port) > 65535:
        raise _Unparsable("invalid port number")
    return host if int(port) == _DEFAULT_PORTS[scheme] else f"{host}:{int(port)}"


def _host(host: str) -> str:
    if not host:
        raise _Unparsable("empty host")
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            raise _Unparsable("invalid IPv6 address") from None
    try:
        # The codec takes names of up to 63 characters a label, as the name system does.
        name = host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except UnicodeError:
        raise _Unparsable("invalid international domain name") from None
    if _NOT_IN_HOST.search(name):
        raise _Unparsable("invalid international domain name")
    if re.fullmatch(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", name):
        try:
            return str(ipaddress.IPv4Address(name.removesuffix(".")))
        except ValueError:
            raise _Unparsable("invalid IPv4 address") from None
    return name


def _path(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for index, segment in enumerate(segments):
        plain = re.sub("%2e", ".", segment, flags=re.IGNORECASE)
        is_last = index == len(segments) - 1
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(_encode(segment, _PATH))
        if plain in {".", ".."} and is_last:
            kept.append("")
    return "/" + "/".join(kept)
