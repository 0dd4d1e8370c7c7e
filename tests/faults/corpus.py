"""Strings that have got scripts through filters, from three collections; see `payloads.txt`.

`python -m tests.faults.corpus FILE…` packs them anew, from JSON files that are lists of strings;
a collection is called by its file's name.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PACKED: Final = Path(__file__).with_name("payloads.jsonl.xz")


class Payload(NamedTuple):
    """A hostile string, and the collection it is of."""

    source: str
    text: str


def load(every: int = 1) -> list[Payload]:
    """All of them, or one of so many, evenly over the collections."""
    with lzma.open(PACKED, "rt", encoding="utf-8") as lines:
        return [Payload(*json.loads(line)) for line in lines][::every]


def _read(paths: list[Path]) -> Iterator[Payload]:
    known: set[str] = set()
    for path in paths:
        for text in json.loads(path.read_text(encoding="utf-8")):
            # What a database can't hold never comes: half a character, NUL, and nothing at all.
            storable = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
            if storable.strip() and storable not in known:
                known.add(storable)
                yield Payload(path.stem, storable)


def pack(paths: list[Path]) -> int:
    """Write the corpus; how many strings it has."""
    payloads = list(_read(paths))
    lines = "".join(f"{json.dumps(payload)}\n" for payload in payloads)
    PACKED.write_bytes(lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME))
    return len(payloads)


if __name__ == "__main__":
    print(f"{pack([Path(name) for name in sys.argv[1:]])} payloads")
