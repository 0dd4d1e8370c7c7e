"""The translations: complete, current, with the same placeholders, and seen on the pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from flask import Flask
from jinja2 import Environment, nodes

import storefront
from storefront.emulator import LocalPolar
from storefront.texts import Texts

PACKAGE = Path(storefront.__file__).parent
LANGUAGES = sorted(path.name for path in (PACKAGE / "translations").iterdir() if path.is_dir())

#: Where a message is passed through, and so is no literal.
PASSED_THROUGH = {("rendering.py", "message")}


def messages() -> dict[str, str]:
    """Every message of the package, and the file it was found in."""
    found: dict[str, str] = {}
    for path in sorted((PACKAGE / "templates").rglob("*.html")):
        found.update(dict.fromkeys(_in_template(path.read_text(encoding="utf-8")), path.name))
    for path in sorted(PACKAGE.rglob("*.py")):
        if "emulator" not in path.relative_to(PACKAGE).parts:
            found.update(dict.fromkeys(_in_code(path), path.name))
    return found


def _in_template(source: str) -> Iterator[str]:
    """The messages of ``storefront.text("…")``."""
    for call in Environment(autoescape=True).parse(source).find_all(nodes.Call):
        function = call.node
        if not isinstance(function, nodes.Getattr) or function.attr != "text":
            continue
        if isinstance(function.node, nodes.Name) and function.node.name == "storefront":
            message = call.args[0]
            assert isinstance(message, nodes.Const), "storefront.text() needs a literal"
            yield message.value


def _in_code(path: Path) -> Iterator[str]:
    """The messages of ``texts("…")``, and of ``self("…")`` in ``Texts``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        match node.func:
            case ast.Name(id="self") if path.name == "texts.py":
                pass
            case ast.Name(id="texts") | ast.Attribute(attr="texts" | "_texts"):
                pass
            case _:
                continue
        match node.args[0]:
            case ast.Constant(value=str(message)):
                yield message
            case ast.Name(id=name) if (path.name, name) in PASSED_THROUGH:
                pass
            case other:
                pytest.fail(f"{path.name}:{other.lineno}: texts() needs a literal")


def catalogue(language: str) -> Catalog:
    """The messages of a language as its file has them."""
    path = PACKAGE / "translations" / language / "LC_MESSAGES" / "storefront.po"
    with path.open("rb") as source:
        return read_po(source, locale=language, abort_invalid=True)


def placeholders(text: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_the_extraction_finds_messages_of_every_kind() -> None:
    """Messages are found in templates, in modules and in the words of ``Texts`` itself."""
    assert messages()["Nothing was found"] == "catalog.html"
    assert messages()["Suggested: {amount}"] == "pricing.py"
    assert messages()["Units: {count}"] in ("catalog.py", "success.html")
    assert messages()["per month"] == "texts.py"


def test_german_and_french_are_there() -> None:
    """The package brings German and French."""
    assert LANGUAGES == ["de", "fr"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_translated(language: str) -> None:
    """No message of the code or the templates is left in English."""
    translated = {m.id for m in catalogue(language) if m.id and m.string and not m.fuzzy}
    missing = sorted(messages().keys() - translated)
    lines = "\n\n".join(f'#: {messages()[m]}\nmsgid "{m}"\nmsgstr ""' for m in missing)
    assert not missing, f"translations/{language}/LC_MESSAGES/storefront.po lacks:\n\n{lines}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_left_over(language: str) -> None:
    """A translation of a message that nothing says any more is taken out."""
    kept = catalogue(language)
    assert {m.id for m in kept if m.id} - messages().keys() == set()
    assert not kept.obsolete


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_have_the_placeholders_of_their_message(language: str) -> None:
    """Each translation uses exactly the values that its message is given."""
    for message in catalogue(language):
        if message.id:
            assert placeholders(str(message.string)) == placeholders(str(message.id)), message.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_begin_and_end_as_their_message(language: str) -> None:
    """A translation is a sentence where the message is one, with no space too many."""
    for message in catalogue(language):
        if message.id:
            text = str(message.string)
            assert text == text.strip(), message.id
            assert text.endswith(".") == str(message.id).endswith("."), message.id


SHOWN = {
    "de": {
        "/shop/": ["29,00\xa0$", "19,00\xa0$ pro Monat", "Jetzt kaufen", "Kostenlos"],
        "/shop/products/ebook-fast-apis": ["5,00\xa0$ Rabatt", "Weitere Angebote"],
        "/shop/products/every-3-weeks": ["8,00\xa0$", "alle 3 Wochen"],
        "/shop/products/team-seats": ["Ab 8,00\xa0$", "pro Platz, pro Monat", "Plätze: 5"],
        "/shop/products/pro-monthly": ["7 Tage kostenlos, danach 19,00\xa0$ pro Monat"],
        "/shop/products/nowhere": ["Dieses Produkt gibt es hier nicht"],
        "/shop/success": ["Falls Sie gerade etwas gekauft haben: vielen Dank!"],
    },
    "fr": {
        "/shop/": ["29,00\xa0$US", "19,00\xa0$US par mois", "Acheter maintenant", "Gratuit"],
        "/shop/products/ebook-fast-apis": ["5,00\xa0$US de réduction", "Autres offres"],
        "/shop/products/every-3-weeks": ["8,00\xa0$US", "par période de 3\xa0semaines"],
        "/shop/products/team-seats": ["À partir de 8,00\xa0$US", "par place et par mois"],
        "/shop/products/pro-monthly": ["7\xa0jours d’essai gratuit, puis 19,00\xa0$US par mois"],
        "/shop/products/nowhere": ["Ce produit n’est pas ici"],
        "/shop/success": ["Si vous venez d’acheter quelque chose"],
    },
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_are_shown_in_the_language(
    language: str, reference_polar: LocalPolar, make_site: Callable[..., Flask]
) -> None:
    """With ``STOREFRONT_LOCALE`` the pages speak it, and write prices as it does."""
    client = make_site(reference_polar, STOREFRONT_LOCALE=language).test_client()
    for address, expected in SHOWN[language].items():
        page = client.get(address).text
        assert f'<html lang="{language}"' in page
        text = re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", page))
        for words in expected:
            assert words in text, f"{address}: {words!r}"


@pytest.mark.parametrize(
    ("locale", "month", "amount"),
    [
        ("de-AT", "pro Monat", "€\xa01.234,50"),
        ("fr-CA", "par mois", "1\xa0234,50\xa0€"),
        ("en-GB", "per month", "€1,234.50"),
        ("nl", "per month", "€\xa01.234,50"),
    ],
)
def test_a_region_takes_the_words_of_its_language(locale: str, month: str, amount: str) -> None:
    """A region without a file of its own speaks its language, and writes amounts its own way."""
    texts = Texts(locale.replace("-", "_"))
    assert texts("per month") == month
    assert texts.money(123450, "eur") == amount


@pytest.mark.parametrize(
    ("locale", "amount"),
    [
        ("ar", "\N{FIRST STRONG ISOLATE}\N{RIGHT-TO-LEFT MARK}12.00\xa0US$"),
        ("fa", "\N{FIRST STRONG ISOLATE}\N{LEFT-TO-RIGHT MARK}$\xa012.00"),
    ],
)
def test_an_amount_from_right_to_left_stays_in_one_piece(locale: str, amount: str) -> None:
    """Words beside it that are read from left to right don't come between number and currency."""
    texts = Texts(locale)
    isolated = f"{amount}\N{POP DIRECTIONAL ISOLATE}"
    assert texts.money(1200, "usd") == isolated
    assert texts("{price} + usage", price=texts.money(1200, "usd")) == f"{isolated} + usage"
