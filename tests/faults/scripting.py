"""S2: no script from what the API says, or from a query string, is on a page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from werkzeug.test import TestResponse

from tests.faults.corpus import load
from tests.faults.harness import Figure
from tests.faults.hostile_shop import (
    Walker,
    hostile_seed,
    hostile_site,
    learn,
    paths,
    purchases,
    sample,
)


def parsed(folder: Path, *, every: int, seldom: int, share: int = 4) -> Figure:
    """Render one of so many payloads in every place there is, and read the pages with a parser.

    One product in ``seldom`` is followed by the pages that hold the whole shop; ``share`` is that
    of `paths`.
    """
    walker = Walker()
    learn(walker, folder / "plain")
    texts = [payload.text for payload in load(every)]
    statuses: Counter[int] = Counter()
    problems: list[str] = []

    def visit(response: TestResponse) -> None:
        statuses[response.status_code] += 1
        found = walker.response(response)
        if response.status_code == 500:
            found.append(f"status {response.status_code}")
        problems.extend(f"{each} at {response.request.path}"[:200] for each in found[:3])

    with hostile_site(folder / "hostile", hostile_seed(texts)) as site:
        site.get("/shop/")
        slugs = site.slugs()
        for number, text in enumerate(texts):
            for path in paths(
                site.app, number, text, slugs, share=share, seldom=number % seldom == 0
            ):
                visit(site.get(path))
        for page in range(1, len(slugs) // 24 + 2):
            visit(site.get(f"/shop/?page={page}"))
            visit(site.get(f"/shop/products.json?page={page}"))
        purchases(site, texts, visit)
    some = texts[:: max(1, len(texts) // 400)]
    unescaped = _unescaped(folder / "control", walker, some)
    renders = statuses.total()
    told = ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))
    return Figure(
        f"S2: {len(problems)} of {renders:,} renders of {len(texts):,} payloads have what could "
        f"run ({told}); without escaping {unescaped:,} of {len(some):,} products' pages "
        f"would{sample(problems)}",
        "0 of the renders, and many without escaping",
        kept=not problems and renders >= 8 * len(texts) and unescaped > len(some) // 4,
    )


def _unescaped(folder: Path, walker: Walker, texts: list[str]) -> int:
    """How many products' pages have what could run where templates don't escape."""
    with hostile_site(folder, hostile_seed(texts), escapes=False) as site:
        site.get("/shop/")
        pages = [site.get(f"/shop/products/{slug}") for slug in site.slugs()[: len(texts)]]
        return sum(any("<" in problem for problem in walker.response(page)) for page in pages)
