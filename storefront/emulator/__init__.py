"""A local Polar: the API, its checkout pages and a store in memory, for the demo and the tests.

It talks real HTTP and answers as the service was recorded to answer. No money moves.
"""

from storefront.emulator.errors import PolarError
from storefront.emulator.faults import Fault, Faults
from storefront.emulator.server import LocalPolar
from storefront.emulator.services import Route, Services
from storefront.emulator.store import SeedError, Store
from storefront.emulator.webhooks import Webhook

__all__ = [
    "Fault",
    "Faults",
    "LocalPolar",
    "PolarError",
    "Route",
    "SeedError",
    "Services",
    "Store",
    "Webhook",
]
