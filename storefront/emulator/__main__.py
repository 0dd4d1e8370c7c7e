"""`python -m storefront.emulator`: run a local Polar until it is interrupted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args
from urllib.parse import urlsplit

from storefront.emulator.faults import KINDS, Fault, parse_fault
from storefront.emulator.server import DEFAULT_TOKEN, LocalPolar, make_tokens
from storefront.emulator.signatures import KeyStyle
from storefront.emulator.store import SeedError, Store
from storefront.emulator.webhooks import RETRY_AFTER, Webhook

_DEFAULT_SITE = "http://127.0.0.1:5000/shop"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line; the usage is a `--help` away."""
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m storefront.emulator",
        description="Run a local Polar: its API, its checkout pages and a store. No money moves.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", default=8787, type=_port, help="port to listen on; 0: any")
    parser.add_argument("--seed", type=Path, help="JSON file to sell from, in the API's shapes")
    parser.add_argument("--token", default=DEFAULT_TOKEN, type=_token, help="may do everything")
    parser.add_argument("--readonly-token", type=_token, help="may read what is for sale")
    parser.add_argument(
        "--other-organization-token", type=_token, help="belongs to an organization with nothing"
    )
    parser.add_argument(
        "--site",
        default=_DEFAULT_SITE,
        type=_site,
        help="the demo shop's address, for its success URLs",
    )
    parser.add_argument(
        "--settle-seconds", default=1.0, type=_seconds, help="from Pay clicked to paid"
    )
    parser.add_argument(
        "--grant-seconds", default=0.0, type=_seconds, help="from a paid order to its benefits"
    )
    parser.add_argument("--json", action="store_true", help="say where it is as JSON, for scripts")
    parser.add_argument("--webhook-url", type=_site, help="is told of what happens")
    parser.add_argument("--webhook-secret", help="signs the deliveries")
    parser.add_argument(
        "--webhook-key",
        default="utf8",
        choices=get_args(KeyStyle),
        help="the key in the secret: all of it, or what follows whsec_ as Standard Webhooks has it",
    )
    parser.add_argument(
        "--webhook-retry-seconds", type=_seconds, help="from one try to the next, always"
    )
    parser.add_argument(
        "--rate-limit", type=_count, help="requests that an organization has in a minute"
    )
    parser.add_argument(
        "--fault",
        action="append",
        type=_fault,
        metavar="KIND[:VALUE][,path=…][,method=…][,times=…][,share=…]",
        help=f"misbehave; may be repeated. Kinds: {', '.join(KINDS)}",
    )
    return parser


def _port(value: str) -> int:
    if not value.isdecimal() or int(value) > 65535:
        raise argparse.ArgumentTypeError(f"{value!r} is no port; give a number from 0 to 65535")
    return int(value)


def _token(value: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise argparse.ArgumentTypeError(
            f"{value!r} is no token; give one word of printable ASCII, such as {DEFAULT_TOKEN}"
        )
    return value


def _site(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise argparse.ArgumentTypeError(f"{value!r} is no address; give a URL: {_DEFAULT_SITE}")
    return value


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{value!r} is no duration; give seconds, such as 1.0")
    return seconds


def _count(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{value!r} is no number of requests; give 1 or more")
    return int(value)


def _fault(value: str) -> Fault:
    try:
        return parse_fault(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _webhook(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Webhook | None:
    """The endpoint to deliver to, if there is one; ends the command if it cannot be used."""
    url, secret = options.webhook_url, options.webhook_secret
    if url is None and secret is None:
        return None
    if not url or not secret:
        parser.error("argument --webhook-url: give both --webhook-url and --webhook-secret")
    try:
        pause = options.webhook_retry_seconds
        retry_after = RETRY_AFTER if pause is None else (pause,) * len(RETRY_AFTER)
        return Webhook(url, secret, key=options.webhook_key, retry_after=retry_after)
    except ValueError as error:
        parser.error(f"argument --webhook-secret: {error}; give another, or --webhook-key utf8")


def _store(seed: Path | None, site: str) -> Store:
    """The store to sell from.

    :raises SeedError: the seed file cannot be read, or is not a store.
    """
    if seed is None:
        from storefront.emulator.demo import demo_store

        store = Store(demo_store(site))
        store.follow_site(site)
        return store
    try:
        return Store(json.loads(seed.read_text(encoding="utf-8")))
    except OSError as error:
        raise SeedError(f"{seed} cannot be read: {error.strerror}; give a JSON file") from error
    except ValueError as error:
        if isinstance(error, SeedError):
            raise SeedError(f"{seed} is no store: {error}") from error
        raise SeedError(f"{seed} is no JSON: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for an option that cannot be used."""
    parser = _parser()
    options = parser.parse_args(arguments)
    given = [options.token, options.readonly_token, options.other_organization_token]
    chosen = [token for token in given if token is not None]
    if len(set(chosen)) < len(chosen):
        parser.error("argument --token: two tokens are the same; give each a value of its own")
    try:
        store = _store(options.seed, options.site)
    except SeedError as error:
        parser.error(f"argument --seed: {error}")
    webhook = _webhook(parser, options)
    tokens = make_tokens(
        options.token,
        readonly=options.readonly_token,
        other_organization=options.other_organization_token,
    )
    try:
        polar = LocalPolar(
            store,
            tokens=tokens,
            settle_seconds=options.settle_seconds,
            grant_seconds=options.grant_seconds,
            webhook=webhook,
            rate_limit=options.rate_limit,
            host=options.host,
            port=options.port,
        )
    except OSError as error:
        where = f"{options.host}:{options.port}"
        parser.error(
            f"argument --port: {where} cannot be listened on ({error.strerror}); "
            "choose another --port, or 0 for any"
        )
    for fault in options.fault or ():
        polar.faults.add(fault)
    name = store.organization["name"]
    if options.json:
        line = json.dumps({"url": polar.url, "store": name})
    else:
        line = f"Local Polar for {name} at {polar.url} (no real money moves; Ctrl-C stops it)"
    try:
        print(line, flush=True)  # whoever reads it may press Ctrl+C at once
        polar.serve()
    except KeyboardInterrupt:
        pass
    finally:
        polar.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
