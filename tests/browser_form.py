"""A browser without JavaScript: reads a page's form and sends it as one would."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


@dataclass
class Field:
    """Something to fill in; ``values`` are the choices of a list."""

    name: str
    value: str
    values: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """A page as it was answered: its text, its links, and its one form."""

    def __init__(self, response: requests.Response, session: requests.Session) -> None:
        super().__init__()
        self.response = response
        self.status = response.status_code
        self.html = response.text
        self.action: str | None = None
        self.fields: dict[str, Field] = {}
        self.buttons: list[str] = []
        self.links: dict[str, str] = {}
        self.ids: set[str] = set()
        self.words: list[str] = []
        self._session = session
        self._select: Field | None = None
        self._href: str | None = None
        self.feed(self.html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "form":
            self.action = urljoin(self.response.url, given.get("action", ""))
        elif tag == "input":
            self._input(given, name)
        elif tag == "textarea":
            self.fields[name] = Field(name, "")
        elif tag == "select":
            self._select = self.fields[name] = Field(name, "")
        elif tag == "option" and self._select is not None:
            self._select.values.append(given["value"])
            if "selected" in given or not self._select.value:
                self._select.value = given["value"]
        elif tag == "button":
            self.buttons.append(given.get("value", ""))
        elif tag == "a":
            self._href = given.get("href")

    def _input(self, given: dict[str, str], name: str) -> None:
        kind = given.get("type", "text")
        if kind == "radio":
            known = self.fields.setdefault(name, Field(name, ""))
            known.values.append(given["value"])
            known.value = given["value"] if "checked" in given else known.value
        elif kind == "checkbox":
            if "checked" in given:
                self.fields[name] = Field(name, given["value"])
        else:
            self.fields[name] = Field(name, given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        elif tag == "a":
            self._href = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._href is not None:
            self.links[" ".join(data.split())] = self._href

    def press(self, button: str, **answers: str) -> requests.Response:
        """Fill in and press a button; a redirect is not followed. ``__`` in a name is a dot."""
        assert button in self.buttons
        assert self.action is not None
        sent = {name: item.value for name, item in self.fields.items()}
        sent |= {name.replace("__", "."): value for name, value in answers.items()}
        return self._session.post(
            self.action, data={**sent, "action": button}, allow_redirects=False, timeout=20
        )

    def submit(self, button: str, **answers: str) -> Page:
        """Fill in, press a button, and see the page that comes of it."""
        response = self.press(button, **answers)
        if response.status_code == 303:
            return browse(response.headers["Location"], self._session, self.response.url)
        return Page(response, self._session)

    def browse(self, url: str) -> Page:
        """Go to another page in the same browser."""
        return browse(url, self._session)


def browse(url: str, session: requests.Session | None = None, base: str = "") -> Page:
    """Go to a page, following redirects."""
    session = session or requests.Session()
    return Page(session.get(urljoin(base, url), timeout=20), session)
