"""R9: what a lying Polar costs a site in memory; that its catalogue stays is seen on the pages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from storefront.testing import Fault
from tests.faults.harness import Figure, Site, polar, seed, visit

_MOST = 64 * 2**20


def lying(folder: Path, *, megabytes: Sequence[int], seconds: float) -> Figure:
    """Answers that unpack to very much, or never end, while a site reads its catalogue anew.

    Each is given for so many `seconds`, to a process of its own. Memory is the largest that the
    process ever had, over what it had before.
    """
    ways = [*(Fault("bomb", size) for size in megabytes), Fault("endless")]
    settings = {"STOREFRONT_CATALOG_TTL_SECONDS": "0.5"}
    grown, asked, is_unchanged = 0, [], True
    with polar(seed(20)) as upstream:
        for number, way in enumerate(ways):
            # A new process each time: one that has learnt that Polar fails asks it less often.
            site = Site(folder / str(number), upstream, workers=1, settings=settings)
            with site.running():
                site.warm_up()
                visit(site, site.pages, requests=500)
                before, shown = site.memory("VmHWM"), _shown(site)
                upstream.asked.clear()
                upstream.faults.add(way)
                load = visit(site, ["/shop/"], requests=50, during=lambda: time.sleep(seconds))
                grown = max(grown, site.memory("VmHWM") - before)
                is_unchanged = is_unchanged and not load.bad and _shown(site) == shown
                asked.append(len(upstream.asked))
            upstream.faults.clear()
    return Figure(
        f"memory +{grown / 2**20:.1f} MB under {sum(asked)} bombs of up to "
        f"{max(megabytes)} MB and endless answers; the catalogue is "
        f"{'unchanged' if is_unchanged else 'CHANGED'}",
        "+64 MB, unchanged",
        grown <= _MOST and is_unchanged and all(asked),
    )


def _shown(site: Site) -> list[str]:
    return [site.get(path).text for path in site.pages]
