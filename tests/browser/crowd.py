"""A shop that is hard to show well: many products, and among them the difficult ones."""

from __future__ import annotations

from typing import Any

from storefront.emulator import LocalPolar

_LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
_PROSE = (
    "A small tool that does one thing well, made with care and without any hurry. It starts at "
    "once, needs no account, and keeps what is yours on your own computer."
)
#: Name, description, minor units (None: as the pattern has it), whether it has a picture.
_HARD: tuple[tuple[str, str | None, int | None, bool], ...] = (
    (
        "Almanac for People Who Write Software on Trains and Would Rather Look Out of the Window",
        _PROSE,
        3900,
        True,
    ),
    (_LONG_WORD, _LONG_WORD * 3, 1200, True),
    ("X", None, 99_999_999_900, False),
    ("No Picture", _PROSE, 100, False),
    ("Ünïcödé ✨ 日本語の道具 🎛️", "日本語の説明。" * 30, 0, False),
    (
        "https://example.com/a/very/long/address/that/somebody/took/for/a/name?really=yes",
        None,
        2500,
        True,
    ),
    ("<b>Bold</b> & “quoted”", "5 < 6 & 7 > 2", 50, True),
    ("\u202bכלי קטן לעבודה שקטה\u202c", "\u202bתיאור קצר בעברית.\u202c", 4200, True),
)
_PLAIN = (
    "Paper Clock",
    "Tide Tables",
    "Ink and Vellum",
    "Tiny Ledger",
    "Field Recorder",
    "Half Light",
    "Moss",
    "Signal Box",
    "Night Shift",
    "Lantern",
    "Quiet Hours",
    "Plain Letters",
    "Copper Wire",
    "Harbour",
    "Kite",
    "Longhand",
    "Meridian",
    "North Window",
    "Orchard",
    "Pocket Atlas",
)


def crowd(polar: LocalPolar, *, hard_only: bool = False) -> None:
    """Have them for sale besides what is there, each with a checkout link."""
    store = polar.store
    patterns = [each for each in store.products.values() if each["medias"] and each["prices"]]
    one_time = [p for p in patterns if p["prices"][0].get("price_amount") and not p["is_recurring"]]
    medias = [media for pattern in patterns for media in pattern["medias"]]
    link = store.live_links()[0]
    plain = () if hard_only else _PLAIN
    names: list[tuple[str, str | None, int | None, bool]] = [
        *((name, _PROSE, 900 + 700 * n, n % 5 != 3) for n, name in enumerate(plain)),
        *_HARD,
    ]
    for number, (name, description, amount, pictured) in enumerate(names):
        id_ = f"00000000-0000-4000-8000-{number:012x}"
        price: dict[str, Any] = {
            **one_time[0]["prices"][0],
            "id": f"00000000-0000-4000-9000-{number:012x}",
            "product_id": id_,
            "price_amount": amount,
        }
        store.products[id_] = {
            **one_time[0],
            "id": id_,
            "name": name,
            "description": description,
            "created_at": f"2026-11-20T10:{number:02d}:00.000000Z",
            "prices": [price],
            "metadata": {},
            "medias": [medias[number % len(medias)]] if pictured else [],
            "attached_custom_fields": [],
        }
        store.put_link(
            {
                **link,
                "id": f"00000000-0000-4000-a000-{number:012x}",
                "client_secret": f"polar_cl_crowd{number:028d}",
                "label": None,
                "products": [{"id": id_}],
            }
        )
