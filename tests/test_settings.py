"""Settings are read once, checked, and complained about by name."""

from __future__ import annotations

from typing import Any

import pytest

from storefront.errors import ConfigurationError
from storefront.settings import LOCAL_TOKEN, NAMES, Settings

TOKEN = "polar_oat_canary0123456789"
SANDBOX = {"POLAR_SERVER": "sandbox", "POLAR_ACCESS_TOKEN": TOKEN}


def read(config: dict[str, Any], environ: dict[str, str] | None = None) -> Settings:
    return Settings.from_mapping(config, environ or {})


def test_config_goes_before_environment() -> None:
    """A value in app.config wins over the same name in the environment."""
    settings = read(
        {**SANDBOX, "STOREFRONT_LOCALE": "de"},
        {"STOREFRONT_LOCALE": "fr", "POLAR_SERVER": "production", "POLAR_PORT": "9000"},
    )
    assert settings.locale == "de"
    assert settings.server.api_url == "https://sandbox-api.polar.sh/v1"
    assert settings.local_port == 9000


def test_local_without_a_token_is_the_embedded_polar() -> None:
    """POLAR_SERVER=local and no token: the embedded local Polar serves, at POLAR_PORT."""
    settings = read({"POLAR_SERVER": "local", "POLAR_PORT": 8123})
    assert settings.embedded
    assert settings.access_token.reveal() == LOCAL_TOKEN
    assert settings.server.api_url == "http://127.0.0.1:8123/v1"
    assert not read({"POLAR_SERVER": "local", "POLAR_ACCESS_TOKEN": TOKEN}).embedded


def test_a_url_is_a_server() -> None:
    """POLAR_SERVER may be a URL; /v1 is added where it has no path."""
    assert read({**SANDBOX, "POLAR_SERVER": "http://127.0.0.1:9999"}).server.api_url == (
        "http://127.0.0.1:9999/v1"
    )
    assert read({**SANDBOX, "POLAR_SERVER": "https://polar.example/api/v1/"}).server.api_url == (
        "https://polar.example/api/v1"
    )


@pytest.mark.parametrize(
    ("config", "key", "words"),
    [
        ({}, "POLAR_SERVER", ["not set", "'local'", "'production'", "'sandbox'"]),
        ({"POLAR_ACCESS_TOKEN": TOKEN}, "POLAR_SERVER", ["not set", "does not work on another"]),
        ({"POLAR_SERVER": "sandbox"}, "POLAR_ACCESS_TOKEN", ["not set", "products:read"]),
        ({"POLAR_SERVER": "Produktion"}, "POLAR_SERVER", ["'Produktion'", "'sandbox'", "a URL"]),
        ({"POLAR_SERVER": "ftp://x"}, "POLAR_SERVER", ["'ftp://x'", "http or https"]),
        ({"POLAR_SERVER": "https://u:p@x.org"}, "POLAR_SERVER", ["no user, password"]),
        ({"POLAR_SERVER": "https://x y"}, "POLAR_SERVER", ["'https://x y'", "URL is needed"]),
        ({"POLAR_SERVER": "local", "POLAR_PORT": "99999"}, "POLAR_PORT", ["'99999'", "65535"]),
        ({"POLAR_SERVER": "local", "POLAR_SEED": "/no/such"}, "POLAR_SEED", ["no such file"]),
        ({**SANDBOX, "POLAR_ORGANIZATION_ID": "acme"}, "POLAR_ORGANIZATION_ID", ["'acme'", "UUID"]),
        ({**SANDBOX, "STOREFRONT_SHOP_NAME": "A\nB"}, "STOREFRONT_SHOP_NAME", ["in one line"]),
        ({**SANDBOX, "STOREFRONT_LOCALE": "xx"}, "STOREFRONT_LOCALE", ["'xx'", "'de'"]),
        (
            {**SANDBOX, "STOREFRONT_CATALOG_TTL_SECONDS": "soon"},
            "STOREFRONT_CATALOG_TTL_SECONDS",
            ["'soon'", "seconds above 0"],
        ),
        (
            {**SANDBOX, "STOREFRONT_PAGE_TIMEOUT_SECONDS": 0},
            "STOREFRONT_PAGE_TIMEOUT_SECONDS",
            ["seconds above 0"],
        ),
        (
            {**SANDBOX, "STOREFRONT_PAGE_MAX_AGE_SECONDS": -1},
            "STOREFRONT_PAGE_MAX_AGE_SECONDS",
            ["at least 0"],
        ),
        ({**SANDBOX, "STOREFRONT_SYNC_ON_START": "maybe"}, "STOREFRONT_SYNC_ON_START", ["True"]),
        (
            {**SANDBOX, "STOREFRONT_UNKNOWN_REFERENCE": "ignore"},
            "STOREFRONT_UNKNOWN_REFERENCE",
            ["'auto'", "'raise'", "'disable'"],
        ),
        (
            {**SANDBOX, "STOREFRONT_IMAGE_HOSTS": "https://x.org/a"},
            "STOREFRONT_IMAGE_HOSTS",
            ["host names"],
        ),
        (
            {**SANDBOX, "STOREFRONT_CONTENT_SECURITY_POLICY": "a\r\nb"},
            "STOREFRONT_CONTENT_SECURITY_POLICY",
            ["one line"],
        ),
        ({**SANDBOX, "STOREFRONT_PROXY_URL": "proxy:3128"}, "STOREFRONT_PROXY_URL", ["proxy URL"]),
        ({**SANDBOX, "STOREFRONT_PROXY_URL": "socks5://p:1"}, "STOREFRONT_PROXY_URL", ["PySocks"]),
        (
            {**SANDBOX, "STOREFRONT_OVERLAY": True},
            "STOREFRONT_OVERLAY",
            ["True", "'on'", "'polar'"],
        ),
        *(
            (
                {**SANDBOX, "STOREFRONT_POLAR_SCRIPT_URL": url},
                "STOREFRONT_POLAR_SCRIPT_URL",
                ["/static"],
            )
            for url in ("//cdn.example.com/a.js", "javascript:1", "https://a b/", "/a.js\n", "a.js")
        ),
        *(
            (
                {**SANDBOX, "STOREFRONT_PROXY_URL": url},
                "STOREFRONT_PROXY_URL",
                ["the value is wrong"],
            )
            for url in ("http://", "http://p:port", "http://[::1", "http://p:99999")
        ),
        ({**SANDBOX, "STOREFRONT_CA_BUNDLE": "/no/such"}, "STOREFRONT_CA_BUNDLE", ["no such file"]),
        *(
            ({**SANDBOX, name: value}, name, [repr(value), "1,000,000,000"])
            for name, value in (
                ("STOREFRONT_PAGE_MAX_AGE_SECONDS", 1.5),
                ("STOREFRONT_PAGE_MAX_AGE_SECONDS", float("inf")),
                ("STOREFRONT_RECONCILE_SECONDS", 10**9),
                ("STOREFRONT_CATALOG_TTL_SECONDS", 10**400),
            )
        ),
        *(
            ({**SANDBOX, "STOREFRONT_IMAGE_HOSTS": value}, "STOREFRONT_IMAGE_HOSTS", ["xn--"])
            for value in (5, ["a b"], ["a\r\nX: y"], "bücher.example", "img.example.com:8000")
        ),
        *(
            ({**SANDBOX, name: value}, name, [words])
            for name, value, words in (
                ("STOREFRONT_CONTENT_SECURITY_POLICY", "img-src bücher.example", "ASCII"),
                ("STOREFRONT_CONTENT_SECURITY_POLICY", 5, "True, False"),
                ("STOREFRONT_EMBED_ANCESTORS", 5, "origins"),
                ("STOREFRONT_CACHE_DIR", 5, "a path is needed"),
            )
        ),
        *(
            ({**SANDBOX, "STOREFRONT_DATABASE_URL": url}, "STOREFRONT_DATABASE_URL", [words])
            for url, words in (
                ("mysql://a@b/c", "postgresql://"),
                ("postgresql:", "read as a URL"),
                ("postgresql://u:p@host:port/shop", "%40"),
                ("sqlite:/srv/shop.db", "sqlite:////"),
                ("sqlite://host/shop.db", "three slashes"),
                ("sqlite:///shop.db", "whole path"),
                ("sqlite://", "whole path"),
                ("sqlite:///", "whole path"),
                ("sqlite:///:memory:", "whole path"),
            )
        ),
        (
            {**SANDBOX, "STOREFRONT_LOCALES": "de"},
            "STOREFRONT_LOCALES",
            ["no such setting", "STOREFRONT_LOCALE"],
        ),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], key: str, words: list[str]) -> None:
    """The message names the key, the value, and what it may be."""
    with pytest.raises(ConfigurationError) as caught:
        read(config)
    message = str(caught.value)
    assert caught.value.key == key
    assert message.startswith(f"{key}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "token", [" " + TOKEN, TOKEN + "\n", f"{TOKEN} x", f'"{TOKEN}"', TOKEN + "é", 5]
)
def test_a_token_with_something_around_it_is_refused_unshown(token: object) -> None:
    """A token copied with a space or a line break is refused, and not repeated in the message."""
    with pytest.raises(ConfigurationError, match="POLAR_ACCESS_TOKEN") as caught:
        read({"POLAR_SERVER": "sandbox", "POLAR_ACCESS_TOKEN": token})
    assert "canary" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    """Neither repr nor str of the settings holds the token, nor does a complaint about a URL."""
    settings = read(SANDBOX)
    assert "canary" not in repr(settings)
    assert "canary" not in str(settings)
    for name, value in (
        ("STOREFRONT_PROXY_URL", "user:canary@proxy"),
        ("STOREFRONT_DATABASE_URL", "postgresql://user:canary@host:port/shop"),
        ("POLAR_SERVER", "https://user:canary@polar.example"),
    ):
        with pytest.raises(ConfigurationError, match=name) as caught:
            read({**SANDBOX, name: value})
        assert "canary" not in str(caught.value)


def test_every_name_is_read() -> None:
    """NAMES holds what from_mapping reads: a value of the wrong kind is noticed under each name."""
    for name in NAMES - {"POLAR_SERVER", "POLAR_ACCESS_TOKEN"}:
        with pytest.raises(ConfigurationError, match=name):
            read({"POLAR_SERVER": "local", "POLAR_ACCESS_TOKEN": TOKEN, name: object()})
