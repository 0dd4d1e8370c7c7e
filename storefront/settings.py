"""The settings: read once at ``init_app``, validated, secrets masked."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from storefront.errors import ConfigurationError
from storefront.polar.servers import Server
from storefront.secret import Secret

UnknownReferencePolicy = Literal["auto", "raise", "disable"]
PreparedPages = Literal["auto", "always", "never"]
Buttons = Literal["link", "redirect"]
Overlay = Literal["off", "on", "polar"]

#: What the local Polar accepts when no token is configured. It guards nothing: no money moves.
LOCAL_TOKEN: Final = "polar_oat_local"  # noqa: S105
#: What it signs its webhooks with then.
LOCAL_WEBHOOK_SECRET: Final = "whsec_local"  # noqa: S105

#: Typed so that a policy of the site's own may stand in its place.
_STRICT: bool | str = True
_T = TypeVar("_T")
#: An origin as a Content Security Policy has it; ``*.`` stands for any subdomain.
_ANCESTOR: Final = re.compile(
    r"https?://(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::(?:[0-9]{1,5}|\*))?"
)
#: More is a slip: as seconds, it is thirty years.
_TOO_MUCH: Final = 10**9
_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default. Names in ``app.config`` are the upper-case ones."""

    #: ``POLAR_SERVER``: ``production``, ``sandbox``, ``local``, or a URL.
    server: Server
    #: ``POLAR_ACCESS_TOKEN``: an organization access token of that server.
    access_token: Secret = field(repr=False)
    #: ``POLAR_ORGANIZATION_ID``: needed only for a token that sees several organizations.
    organization_id: str | None = None
    #: Whether the embedded local Polar serves (``POLAR_SERVER=local`` and no token).
    embedded: bool = False
    #: ``POLAR_PORT``: the local Polar's port.
    local_port: int = 8787
    #: ``POLAR_SEED``: a JSON file that the embedded local Polar sells instead of its demo store.
    local_seed: Path | None = None
    #: ``STOREFRONT_CATALOG_TTL_SECONDS``: age after which the catalogue is read anew.
    catalog_ttl_seconds: float = 300.0
    #: ``STOREFRONT_SYNC_ON_START``: read the catalogue in the background as the site starts.
    sync_on_start: bool = True
    #: ``STOREFRONT_SYNC_TIMEOUT_SECONDS``: for one request of a sync.
    sync_timeout_seconds: float = 15.0
    #: ``STOREFRONT_SYNC_DEADLINE_SECONDS``: for a whole sync, waiting for Polar's limits included.
    sync_deadline_seconds: float = 900.0
    #: ``STOREFRONT_SYNC_CONCURRENCY``: requests of a sync that are in flight at once.
    sync_concurrency: int = 8
    #: ``STOREFRONT_RATE_LIMIT_SHARE``: how much of Polar's rate limit a sync may use.
    rate_limit_share: float = 0.8
    #: ``STOREFRONT_PAGE_TIMEOUT_SECONDS``: how long a page may wait for Polar, at the most.
    page_timeout_seconds: float = 2.0
    #: ``STOREFRONT_PAGE_MAX_AGE_SECONDS``: how long a cache may keep an anonymous page.
    page_max_age_seconds: int = 60
    #: ``STOREFRONT_STALE_WHILE_REVALIDATE_SECONDS``: how long after that a cache may still give it
    #: while it asks for a new one.
    stale_while_revalidate_seconds: int = 300
    #: ``STOREFRONT_STALE_IF_ERROR_SECONDS``: and how long where the site does not answer.
    stale_if_error_seconds: int = 86400
    #: ``STOREFRONT_PREPARED_PAGES``: which pages are kept ready, instead of rendered each time.
    prepared_pages: PreparedPages = "auto"
    #: ``STOREFRONT_COMPRESS_PAGES``: send prepared pages compressed to browsers that take it.
    compress_pages: bool = True
    #: ``STOREFRONT_CACHE_DIR``: where the catalogue is kept when no ``Cache`` is passed.
    cache_dir: Path | None = None
    #: ``STOREFRONT_DATABASE_URL``: SQLAlchemy's URL; None for SQLite in the instance folder. It
    #: may carry a password.
    database_url: Secret | None = field(default=None, repr=False)
    #: ``POLAR_WEBHOOK_SECRET``: of the webhook endpoints, several while one replaces the other.
    webhook_secrets: tuple[Secret, ...] = field(default=(), repr=False)
    #: ``STOREFRONT_RECONCILE_SECONDS``: how often orders are compared with Polar's; 0 for never.
    reconcile_seconds: int = 300
    #: ``STOREFRONT_SHOP_NAME``: what the shop is called, on its first page and by machines.
    shop_name: str | None = None
    #: ``STOREFRONT_LOCALE``: language of the pages, and how prices and dates are written.
    locale: str = "en"
    #: ``STOREFRONT_UNKNOWN_REFERENCE``: what a button to nowhere does.
    unknown_reference: UnknownReferencePolicy = "auto"
    #: ``STOREFRONT_BUTTONS``: whether buttons lead straight to the checkout link, or by the shop's
    #: own ``/buy``.
    buttons: Buttons = "link"
    #: ``STOREFRONT_OVERLAY``: whether buttons open the checkout over the page, and by whose script.
    overlay: Overlay = "off"
    #: ``STOREFRONT_POLAR_SCRIPT_URL``: where Polar's own script is, if not at its pinned address.
    polar_script_url: str | None = None
    #: ``STOREFRONT_IMAGE_HOSTS``: hosts whose pictures a description may show.
    image_hosts: tuple[str, ...] = ()
    #: ``STOREFRONT_CONTENT_SECURITY_POLICY``: False for none, or a policy of your own.
    content_security_policy: bool | str = True
    #: ``STOREFRONT_EMBED_ANCESTORS``: the sites that may show the shop's cards in a frame, as
    #: origins, or ``*``. Without any, there are no cards.
    embed_ancestors: tuple[str, ...] = ("*",)
    #: ``STOREFRONT_PROXY_URL``: proxy for the calls to Polar.
    proxy_url: str | None = None
    #: ``STOREFRONT_CA_BUNDLE``: certificate authorities trusted for the calls to Polar.
    ca_bundle: Path | None = None

    @property
    def shop(self) -> str:
        """Which shop this is among those that share a database.

        A new access token is the same shop. Two organizations of one server that share a
        database are told apart by ``POLAR_ORGANIZATION_ID``.
        """
        identity = f"{self.server.api_url} {self.organization_id or ''}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    @classmethod
    def from_mapping(
        cls, config: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> Settings:
        """Read the settings from ``app.config`` first, then from the environment.

        :raises ConfigurationError: naming the setting, its value (unless it is a secret) and
            what it may be.
        """
        read = _Reader(config, os.environ if environ is None else environ)
        read.refuse_unknown()
        server, token, embedded = _connection(read)
        return cls(
            server=server,
            access_token=token,
            embedded=embedded,
            organization_id=read("POLAR_ORGANIZATION_ID", _uuid, None),
            local_port=read("POLAR_PORT", _port, 8787),
            local_seed=read("POLAR_SEED", _existing_file, None),
            catalog_ttl_seconds=read("STOREFRONT_CATALOG_TTL_SECONDS", _seconds, 300.0),
            sync_on_start=read("STOREFRONT_SYNC_ON_START", _boolean, True),
            sync_timeout_seconds=read("STOREFRONT_SYNC_TIMEOUT_SECONDS", _seconds, 15.0),
            sync_deadline_seconds=read("STOREFRONT_SYNC_DEADLINE_SECONDS", _seconds, 900.0),
            sync_concurrency=read("STOREFRONT_SYNC_CONCURRENCY", _concurrency, 8),
            rate_limit_share=read("STOREFRONT_RATE_LIMIT_SHARE", _share, 0.8),
            page_timeout_seconds=read("STOREFRONT_PAGE_TIMEOUT_SECONDS", _seconds, 2.0),
            page_max_age_seconds=read("STOREFRONT_PAGE_MAX_AGE_SECONDS", _whole_number, 60),
            stale_while_revalidate_seconds=read(
                "STOREFRONT_STALE_WHILE_REVALIDATE_SECONDS", _whole_number, 300
            ),
            stale_if_error_seconds=read("STOREFRONT_STALE_IF_ERROR_SECONDS", _whole_number, 86400),
            prepared_pages=read("STOREFRONT_PREPARED_PAGES", _prepared_pages, "auto"),
            compress_pages=read("STOREFRONT_COMPRESS_PAGES", _boolean, True),
            cache_dir=read("STOREFRONT_CACHE_DIR", _path, None),
            database_url=read("STOREFRONT_DATABASE_URL", _database_url, None),
            webhook_secrets=read("POLAR_WEBHOOK_SECRET", _webhook_secrets, ())
            or ((Secret(LOCAL_WEBHOOK_SECRET),) if embedded else ()),
            reconcile_seconds=read("STOREFRONT_RECONCILE_SECONDS", _whole_number, 300),
            shop_name=read("STOREFRONT_SHOP_NAME", _shop_name, None),
            locale=read("STOREFRONT_LOCALE", _locale, "en"),
            unknown_reference=read("STOREFRONT_UNKNOWN_REFERENCE", _unknown_reference, "auto"),
            buttons=read("STOREFRONT_BUTTONS", _buttons, "link"),
            overlay=read("STOREFRONT_OVERLAY", _overlay, "off"),
            polar_script_url=read("STOREFRONT_POLAR_SCRIPT_URL", _script_url, None),
            image_hosts=read("STOREFRONT_IMAGE_HOSTS", _hosts, ()),
            content_security_policy=read("STOREFRONT_CONTENT_SECURITY_POLICY", _policy, _STRICT),
            embed_ancestors=read("STOREFRONT_EMBED_ANCESTORS", _ancestors, ("*",)),
            proxy_url=read("STOREFRONT_PROXY_URL", _proxy, None),
            ca_bundle=read("STOREFRONT_CA_BUNDLE", _existing_file, None),
        )


#: Every setting that ``from_mapping`` knows.
NAMES: Final = frozenset(
    {
        "POLAR_ACCESS_TOKEN",
        "POLAR_SERVER",
        "POLAR_ORGANIZATION_ID",
        "POLAR_PORT",
        "POLAR_SEED",
        "POLAR_WEBHOOK_SECRET",
        "STOREFRONT_CATALOG_TTL_SECONDS",
        "STOREFRONT_SYNC_ON_START",
        "STOREFRONT_SYNC_TIMEOUT_SECONDS",
        "STOREFRONT_SYNC_DEADLINE_SECONDS",
        "STOREFRONT_SYNC_CONCURRENCY",
        "STOREFRONT_RATE_LIMIT_SHARE",
        "STOREFRONT_PAGE_TIMEOUT_SECONDS",
        "STOREFRONT_PAGE_MAX_AGE_SECONDS",
        "STOREFRONT_STALE_WHILE_REVALIDATE_SECONDS",
        "STOREFRONT_STALE_IF_ERROR_SECONDS",
        "STOREFRONT_PREPARED_PAGES",
        "STOREFRONT_COMPRESS_PAGES",
        "STOREFRONT_CACHE_DIR",
        "STOREFRONT_DATABASE_URL",
        "STOREFRONT_RECONCILE_SECONDS",
        "STOREFRONT_SHOP_NAME",
        "STOREFRONT_LOCALE",
        "STOREFRONT_UNKNOWN_REFERENCE",
        "STOREFRONT_BUTTONS",
        "STOREFRONT_OVERLAY",
        "STOREFRONT_POLAR_SCRIPT_URL",
        "STOREFRONT_IMAGE_HOSTS",
        "STOREFRONT_CONTENT_SECURITY_POLICY",
        "STOREFRONT_EMBED_ANCESTORS",
        "STOREFRONT_PROXY_URL",
        "STOREFRONT_CA_BUNDLE",
    }
)


class _Reader:
    """Looks a name up in the config, then in the environment, and parses what it finds."""

    def __init__(self, config: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ

    def raw(self, name: str) -> Any:
        """The value as given; None where it is absent, None or empty."""
        value = self._config.get(name)
        if value is None or value == "":
            value = self._environ.get(name)
        return None if value == "" else value

    def __call__(self, name: str, parse: Callable[[Any], _T], default: _T) -> _T:
        value = self.raw(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ConfigurationError:
            raise  # of a secret: says nothing of the value, and nothing is to be added
        except (ValueError, TypeError) as error:
            raise ConfigurationError(name, f"{_shown(name, value)} is wrong: {error}.") from None

    def refuse_unknown(self) -> None:
        """A misspelt name would otherwise leave the default in force without a word."""
        for name in sorted(str(key) for key in self._config):
            if name.startswith("STOREFRONT_") and name not in NAMES:
                known = ", ".join(sorted(n for n in NAMES if n.startswith("STOREFRONT_")))
                raise ConfigurationError(name, f"there is no such setting. There are: {known}.")


def _shown(name: str, value: object) -> str:
    # A proxy's URL may carry a user and a password, and so may whatever has an "@".
    return "the value" if name == "STOREFRONT_PROXY_URL" or "@" in str(value) else repr(value)


def _connection(read: _Reader) -> tuple[Server, Secret, bool]:
    """The server, the token for it, and whether the embedded local Polar serves."""
    choices = (
        "'production' (real money), 'sandbox' (Polar's test environment), "
        "'local' (the local Polar on this machine), or a URL"
    )
    name = read.raw("POLAR_SERVER")
    token = read("POLAR_ACCESS_TOKEN", _token, None)
    if name is None:
        if token is None:
            raise ConfigurationError(
                "POLAR_SERVER",
                f"not set. Choose {choices}. To try the shop without an account, set "
                "POLAR_SERVER to 'local'; to sell, set POLAR_ACCESS_TOKEN as well.",
            )
        raise ConfigurationError(
            "POLAR_SERVER",
            "not set, although POLAR_ACCESS_TOKEN is. A token of one server does not work on "
            f"another, so say which one it is for: {choices}.",
        )
    if name == "production":
        server = Server.production()
    elif name == "sandbox":
        server = Server.sandbox()
    elif name == "local":
        server = Server.local(read("POLAR_PORT", _port, 8787))
        if token is None:
            return server, Secret(LOCAL_TOKEN), True
    else:
        try:
            server = Server.custom(str(name))
        except ValueError as error:
            raise ConfigurationError(
                "POLAR_SERVER",
                f"{_shown('POLAR_SERVER', name)} is wrong: {error}. It may be {choices}.",
            ) from None
    if token is None:
        raise ConfigurationError(
            "POLAR_ACCESS_TOKEN",
            f"not set, although POLAR_SERVER is {name!r}. Make an organization access token in "
            "Polar's dashboard (Settings, Developers) with the scopes products:read, "
            "checkout_links:read, checkouts:read and orders:read, or set POLAR_SERVER to 'local'.",
        )
    return server, token, False


def _token(value: Any) -> Secret:
    if isinstance(value, Secret):
        value = value.reveal()
    if not isinstance(value, str):
        raise ConfigurationError("POLAR_ACCESS_TOKEN", "the value is not a string.")
    if not value.isascii() or not value.isprintable() or set(value) & set(" \"'"):
        # Not told in the message: what it is.
        raise ConfigurationError(
            "POLAR_ACCESS_TOKEN",
            "the value has spaces, quotes, line breaks or other characters that no token has. "
            "Was it copied with something around it?",
        )
    return Secret(value)


def _uuid(value: Any) -> str:
    try:
        return str(UUID(str(value)))
    except ValueError:
        raise ValueError(
            "a UUID is needed, as shown in Polar's dashboard (Settings, General)"
        ) from None


def _whole_number(value: Any) -> int:
    message = "a whole number of at least 0 and below 1,000,000,000 is needed"
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(message)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ValueError(message) from None
    if not 0 <= number < _TOO_MUCH:
        raise ValueError(message)
    return number


def _concurrency(value: Any) -> int:
    message = "a whole number from 1 to 32 is needed"
    try:
        number = _whole_number(value)
    except ValueError:
        raise ValueError(message) from None
    if not 1 <= number <= 32:
        raise ValueError(message)
    return number


def _share(value: Any) -> float:
    message = "a number above 0 and up to 1 is needed, such as 0.8 for four fifths"
    try:
        share = _seconds(value)
    except ValueError:
        raise ValueError(message) from None
    if share > 1:
        raise ValueError(message)
    return share


def _port(value: Any) -> int:
    message = "a port is needed, from 1 to 65535"
    try:
        number = _whole_number(value)
    except ValueError:
        raise ValueError(message) from None
    if not 1 <= number <= 65535:
        raise ValueError(message)
    return number


def _seconds(value: Any) -> float:
    message = "a number of seconds above 0 and below 1,000,000,000 is needed"
    if isinstance(value, bool):
        raise ValueError(message)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(message) from None
    if not 0 < number < _TOO_MUCH:  # also refuses nan
        raise ValueError(message)
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("True or False is needed (in the environment: 1, true, yes, on, 0, false, …)")


def _path(value: Any) -> Path:
    try:
        return Path(os.fspath(value))
    except TypeError:
        raise ValueError("a path is needed") from None


def _existing_file(value: Any) -> Path:
    path = _path(value)
    if not path.is_file():
        raise ValueError("there is no such file")
    return path


def _shop_name(value: Any) -> str:
    name = value.strip() if isinstance(value, str) else ""
    if not name or not name.isprintable() or len(name) > 70:
        raise ValueError("a name of up to 70 characters is needed, in one line")
    return name


def _locale(value: Any) -> str:
    from babel import Locale, UnknownLocaleError

    try:
        return str(Locale.parse(str(value).replace("-", "_")))
    except (ValueError, UnknownLocaleError):
        raise ValueError("a locale such as 'en', 'de' or 'pt-BR' is needed") from None


def _unknown_reference(value: Any) -> UnknownReferencePolicy:
    if value not in ("auto", "raise", "disable"):
        raise ValueError(
            "it may be 'auto' (raise in development, a disabled button in production), "
            "'raise' or 'disable'"
        )
    policy: UnknownReferencePolicy = value
    return policy


def _buttons(value: Any) -> Buttons:
    if value not in ("link", "redirect"):
        raise ValueError("it may be 'link' or 'redirect'")
    choice: Buttons = value
    return choice


def _overlay(value: Any) -> Overlay:
    if value not in ("off", "on", "polar"):
        raise ValueError("it may be 'off', 'on' or 'polar' (Polar's own script)")
    choice: Overlay = value
    return choice


def _script_url(value: Any) -> str:
    text = str(value)
    is_path = re.match("/(?!/)", text)
    # Its origin goes into a header.
    is_address = re.match(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/", text)
    if not (is_path or is_address) or not re.fullmatch(r"[!#-&(-;=?-\[\]-~]+", text):
        raise ValueError(
            "a path of your site such as '/static/embed.global.js', or a URL, is needed"
        )
    return text


def _prepared_pages(value: Any) -> PreparedPages:
    if value not in ("auto", "always", "never"):
        raise ValueError("it may be 'auto', 'always' or 'never'")
    choice: PreparedPages = value
    return choice


def _database_url(value: Any) -> Secret:
    if isinstance(value, Secret):
        value = value.reveal()
    name = "STOREFRONT_DATABASE_URL"
    scheme = str(value).partition(":")[0] if isinstance(value, str) else ""
    # Heroku and others still hand out postgres://, which SQLAlchemy does not know.
    if scheme in ("postgres", "postgresql"):
        value = f"postgresql+psycopg:{value.partition(':')[2]}"
        scheme = "postgresql+psycopg"
    if scheme not in ("sqlite", "postgresql+psycopg"):
        raise ConfigurationError(
            name,
            "the value is no URL of a database that is supported. It may be such as "
            "'postgresql://user:password@host/name' or 'sqlite:////var/lib/site/shop.db'.",
        )
    _check_database_url(name, value)
    if scheme != "sqlite" and find_spec("psycopg") is None:
        raise ConfigurationError(
            name,
            "PostgreSQL needs the package psycopg: "
            "pip install 'flask-polar-storefront[postgresql]'.",
        )
    return Secret(value)


def _check_database_url(name: str, value: str) -> None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(value)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise ConfigurationError(
            name,
            "the value can't be read as a URL. It may be such as "
            "'postgresql://user:password@host/name', where letters like @, : and / in a password "
            "are written as %40, %3A and %2F, or 'sqlite:////var/lib/site/shop.db'.",
        ) from None
    is_file = not url.host and Path(url.database or "").is_absolute()
    if url.get_backend_name() == "sqlite" and not is_file:
        # A command that is run in another folder, or a restart, would find another database, and
        # fulfil orders again.
        raise ConfigurationError(
            name,
            "SQLite needs the whole path of a file, after three slashes, such as "
            "'sqlite:////var/lib/site/shop.db'.",
        )


def _webhook_secrets(value: Any) -> tuple[Secret, ...]:
    given = value if isinstance(value, (list, tuple)) else [value]
    texts = [one.reveal() if isinstance(one, Secret) else one for one in given]
    if not all(isinstance(one, str) for one in texts):
        raise ConfigurationError("POLAR_WEBHOOK_SECRET", "a string, or a list of them, is needed.")
    # Several in one value, as an environment variable has them: no secret has a space or comma.
    secrets = [part for one in texts for part in one.replace(",", " ").split()]
    if not all(part.isascii() and part.isprintable() for part in secrets):
        raise ConfigurationError(
            "POLAR_WEBHOOK_SECRET",
            "the value has characters that no webhook secret has. "
            "Was it copied with something around it?",
        )
    return tuple(Secret(part) for part in secrets)


def _parts(value: Any) -> list[str] | None:
    """What a list has, or a text with spaces or commas; None for anything else."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return list(map(str, value)) if isinstance(value, (list, tuple, set, frozenset)) else None


def _hosts(value: Any) -> tuple[str, ...]:
    names = _parts(value)
    # They go into a header.
    if names is None or not all(map(_HOST.fullmatch, names)):
        raise ValueError(
            "host names such as 'images.example.com' are needed (with other letters than a to z, "
            "in their form that begins with 'xn--')"
        )
    return tuple(name.lower() for name in names)


def _ancestors(value: Any) -> tuple[str, ...]:
    given = _parts(value)
    if given in (["none"], ["*"]):
        return () if given == ["none"] else ("*",)
    origins = tuple(one.lower().removesuffix("/") for one in given or ())
    if not origins or not all(map(_ANCESTOR.fullmatch, origins)):
        raise ValueError(
            "origins such as 'https://blog.example.com' or 'https://*.example.com' are needed, or "
            "'*' for any site, or 'none' for none"
        )
    return origins


def _policy(value: Any) -> bool | str:
    try:
        return _boolean(value)
    except ValueError:
        text = value if isinstance(value, str) else ""
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("True, False, or a policy in one line of ASCII, is needed")
    return text


def _proxy(value: Any) -> str:
    text = str(value)
    is_known = text.startswith(("http://", "https://", "socks5://", "socks5h://"))
    if not is_known or not _has_host(text):
        raise ValueError("a proxy URL such as 'http://proxy.example.com:3128' is needed")
    if text.startswith("socks") and find_spec("socks") is None:
        raise ValueError("a SOCKS proxy needs the package PySocks: pip install 'requests[socks]'")
    return text


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # for a port that is none, or brackets that don't match
        return False
