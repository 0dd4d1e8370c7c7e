"""The demo store: what the local Polar sells when it is given nothing else to sell."""

from storefront.emulator.demo.seed import demo_store

__all__ = ["demo_store"]
