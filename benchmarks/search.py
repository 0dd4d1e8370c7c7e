"""What it takes to find products among many by words, kind and price, without Flask.

In processor time, of a catalogue of invented products with sixty words of description each. The
first search of a process gathers the words of all products; the others are medians, and nothing of
an earlier search is used. Beside them: 24 products put into words, which each page of results needs
that was not shown before.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks.common import Row, interleaved, main
from storefront.catalog import Catalog, Search, Snapshot
from storefront.catalog.records import encode_product
from storefront.polar.models import Price, Product
from storefront.texts import Texts

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_WORDS: Final = 5_000
_TARGET_MS: Final = 100
_TARGET_BYTES: Final = 600


def measure(quick: bool) -> Sequence[Row]:
    """The first search, the memory that it takes, and searches of each kind."""
    many = 2_000 if quick else 100_000
    draw = random.Random(7)  # noqa: S311  the same products each time
    words = ["".join(draw.choices(_LETTERS, k=draw.randint(3, 9))) for _ in range(_WORDS)]
    snapshot = Snapshot.of(
        {product.id: encode_product(product) for product in _products(many, words, draw)},
        {},
        read_at=datetime.now(UTC),
    )
    finder = snapshot.index.finder
    name = f"{many:,} products"
    started = time.process_time()
    finder.find(Search("qqqq"))
    first = time.process_time() - started
    texts = [chunk.product_facts().texts[0] for chunk in snapshot.product_chunks]
    held = sum(len(text.content) + 4 * len(text.starts) for text in texts) / many
    searches = {
        "a word that few have": Search(words[0]),
        "two words": Search(" ".join(words[:2])),
        "a word that none has": Search("qqqq"),
        "a word that all have": Search("the"),
        "kind and price": Search(kind="one-time", least=2000, most=5000),
        "all, by price": Search(sort="price"),
    }
    found = {what: len(finder.find(search)) for what, search in searches.items()}

    def put_into_words() -> None:
        catalog = Catalog(snapshot, Texts("en"), image_hosts=())
        for product in catalog.listed[:24]:
            assert product.offers == ()

    seconds = interleaved(
        {what: lambda search=search: finder.find(search) for what, search in searches.items()}
        | {"24 products": put_into_words},
        rounds=3 if quick else 15,
        clock=time.process_time,
    )
    page = seconds.pop("24 products")
    rows = [
        Row(f"{name}: the first search of a process", f"{first * 1000:,.0f} ms"),
        Row(
            "… what it keeps",
            f"{held:,.0f} bytes a product",
            target=f"≤ {_TARGET_BYTES} bytes",
            reached=held <= _TARGET_BYTES,
        ),
        Row("… 24 products put into words", f"{page * 1000:,.1f} ms"),
    ]
    for what, each in seconds.items():
        promised = what not in ("a word that all have", "all, by price")
        rows.append(
            Row(
                f"… {what} ({found[what]:,} found)",
                f"{each * 1000:,.1f} ms",
                each / page,
                "24 products put into words",
                f"≤ {_TARGET_MS} ms" if promised else "",
                each * 1000 <= _TARGET_MS if promised else None,
            )
        )
    return rows


def _products(many: int, words: Sequence[str], draw: random.Random) -> Sequence[Product]:
    return [
        Product(
            id=f"{number:08x}-0000-4000-8000-000000000000",
            name=" ".join(draw.choices(words, k=4)).title(),
            description=f"The {' '.join(draw.choices(words, k=60))}.",
            prices=(Price(id=f"{number}", price_amount=100 * draw.randint(1, 200)),),
            recurring_interval="month" if number % 3 == 0 else None,
        )
        for number in range(many)
    ]


if __name__ == "__main__":
    main(measure, __doc__)
