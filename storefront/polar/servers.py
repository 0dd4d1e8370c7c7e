"""Which Polar is spoken to, and where its pages live.

Source: Polar's documentation and its open source, measured 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

#: The API version that the client asks for in ``Polar-Version``. Pinned because Polar names
#: fields by version: an unpinned client gets the server's oldest, and a pinned one keeps getting
#: what it was tested with. The models understand older shapes all the same.
POLAR_VERSION = "2026-10"


@dataclass(frozen=True, slots=True)
class Server:
    """One Polar server.

    ``name`` is ``production``, ``sandbox``, ``local`` or ``custom``; ``api_url`` ends in ``/v1``
    without a slash.
    """

    name: str
    api_url: str

    @classmethod
    def production(cls) -> Server:
        """Real money."""
        return cls("production", "https://api.polar.sh/v1")

    @classmethod
    def sandbox(cls) -> Server:
        """Polar's own test environment."""
        return cls("sandbox", "https://sandbox-api.polar.sh/v1")

    @classmethod
    def local(cls, port: int) -> Server:
        """The local Polar (``storefront.emulator``) on this machine."""
        return cls("local", f"http://127.0.0.1:{port}/v1")

    @classmethod
    def custom(cls, url: str) -> Server:
        """A Polar at an address of its own; ``/v1`` is added when the URL has no path.

        :raises ValueError: when ``url`` is not an absolute http or https URL, or carries
            credentials, a query or a fragment.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or " " in url:
            raise ValueError("an absolute http or https URL is needed")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("the URL must have no user, password, query or fragment")
        _ = parts.port  # raises ValueError for one that is no port
        return cls("custom", f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}")

    @property
    def requests_per_minute(self) -> int:
        """How many requests an organization may make in a minute.

        Source: recorded answers of Polar's API, 2026-11-22.
        """
        return 100 if self.api_url == Server.sandbox().api_url else 500

    def link_url(self, client_secret: str) -> str:
        """The public URL of the checkout link with that secret.

        Polar sends it as ``url``; older answers have only the secret.
        """
        if self.name == "production":
            return f"https://buy.polar.sh/{client_secret}"
        return f"{self.api_url}/checkout-links/{client_secret}/redirect"

    @property
    def checkout_origins(self) -> tuple[str, ...]:
        """The origins of an overlay's frame: of a link, then of the checkout page it leads to.

        Source: Polar's documentation and its script for embedding, 2026-11-22.
        """
        if self.name == "production":
            return ("https://buy.polar.sh", "https://polar.sh")
        if self.name == "sandbox":
            return ("https://sandbox-api.polar.sh", "https://sandbox.polar.sh")
        parts = urlsplit(self.api_url)
        return (f"{parts.scheme}://{parts.netloc}",)

    def portal_url(self, organization_slug: str) -> str:
        """Where customers of an organization sign in to their portal: Polar mails them a code.

        Source: Polar's documentation of the customer portal, 2026-11-22.
        """
        origins = {"production": "https://polar.sh", "sandbox": "https://sandbox.polar.sh"}
        origin = origins.get(self.name) or self.api_url.removesuffix("/v1")
        return f"{origin}/{organization_slug}/portal"
