"""S2 in Chromium: with their policies taken off, the pages still run nothing of what they show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from flask import Flask, render_template_string
from playwright.sync_api import Error

from tests.browser.driving import CHROMIUM, QUIET, chromium
from tests.browser.staging import serving
from tests.demo_processes import free_port
from tests.faults.corpus import load
from tests.faults.harness import Figure
from tests.faults.hostile_shop import hostile_seed, hostile_site, raw, sample

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request

#: Frames on one sheet.
FRAMES: Final = 30
#: What is shown, and of how many payloads one: every page shows what a product is called, and a
#: parser has looked at all of them.
_KINDS: Final = {"product": 1, "embed": 3, "search": 3, "host": 3, "buttons": 3, "control": 3}
#: Only reports: what a page runs that is no file of the site's, and who tries to.
_REPORTING: Final = ("Content-Security-Policy-Report-Only", "script-src 'self'; object-src 'none'")
_REMOVED: Final = frozenset(("content-security-policy", "x-frame-options"))
_SHEET: Final = """<!doctype html><html lang="en"><title>Sheet</title>
{% for path in frames %}<iframe src="{{ path }}" sandbox="allow-scripts allow-same-origin
allow-modals allow-forms" width="300" height="300"></iframe>{% endfor %}
{% if buttons %}<script src="/shop/embed.js" defer></script>{% endif %}
{% for slug in buttons %}<buy-button product="{{ slug }}" layout="card"></buy-button>{% endfor %}
"""
#: In every frame, before anything else: what is called, or tried, is noted in the window on top.
_NOTING: Final = """
(() => {
  if (top === self) window.__fired = [];
  const note = (what) => top.__fired.push([what, location.pathname + location.search]);
  for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => note(name);
  document.addEventListener("securitypolicyviolation", (event) => {
    if (event.effectiveDirective.startsWith("script-src")) note(event.effectiveDirective);
  });
})();
"""
_COMPLETE: Final = """
() => [...document.querySelectorAll("buy-button")].every(
  (button) => button.shadowRoot?.querySelector(".button, .name"))
"""
#: What would run at a click, or is there and should not be, as the browser has read the pages.
_LOOKING: Final = """
() => {
  const found = [];
  const look = (root, where) => {
    for (const element of root.querySelectorAll("*")) {
      const name = element.localName;
      for (const attribute of element.attributes) {
        if (attribute.name.startsWith("on")) found.push([`${name} ${attribute.name}`, where]);
        if (/^[\\0- ]*(javascript|data|vbscript):/i.test(attribute.value)
            && /^(href|src|action|formaction|xlink:href|data|poster)$/.test(attribute.name)) {
          found.push([`${name} ${attribute.name}=${attribute.value.slice(0, 30)}`, where]);
        }
      }
      if (/^(object|embed|base|frame|applet|math|foreignobject|animate|set)$/.test(name)) {
        found.push([name, where]);
      }
      if (name === "script" && element.type !== "application/ld+json"
          && !element.src.startsWith(`${location.origin}/`)) {
        found.push(["script", where]);
      }
      if (element.shadowRoot) look(element.shadowRoot, where);
    }
  };
  look(document, location.pathname);
  for (const frame of document.querySelectorAll("iframe")) {
    const inner = frame.contentDocument;
    if (!inner) found.push(["another site", frame.src]);
    else if (!inner.querySelector("h1, h2")) found.push(["no page", frame.src]);
    else look(inner, inner.location.pathname + inner.location.search);
  }
  return found;
}
"""


def fired(folder: Path, *, every: int, browser: Browser | None = None) -> Figure:
    """Show one of so many payloads on all that a browser runs, and see whether any fires."""
    if browser is None:
        with chromium() as found:
            return fired(folder, every=every, browser=found)
    texts = [payload.text for payload in load(every)]
    with hostile_site(folder, hostile_seed(texts), lane=True) as site:
        slugs: list[str] = []
        _add_sheets(site.app, texts, slugs)
        site.get("/shop/")
        slugs += site.slugs()
        with serving(site.app, free_port()) as url, _closed_in(browser) as context:
            watcher = _Watcher(context.new_page(), url)
            control = _Watcher(context.new_page(), url)
            for kind, share in _KINDS.items():
                for first in range(0, len(texts), FRAMES * share):
                    address = f"{url}/sheet/{kind}/{first}"
                    if kind != "control":
                        watcher.see(address)
                        continue
                    # What runs there may well lead the window away, or break it.
                    for _ in range(3):
                        with suppress(Error):
                            control.see(address, patient=False)
                            break
    problems, shown = watcher.problems, watcher.shown
    fires = len({where for what, where in control.fired})
    return Figure(
        f"S2: {len(problems)} scripts, dialogs or strangers in {shown:,} pages of {len(texts):,} "
        f"payloads in Chromium; {fires:,} of {control.shown:,} fire without sanitizing"
        f"{sample(problems)}",
        "0, and some without sanitizing",
        kept=not problems and shown > 2 * len(texts) and fires > control.shown // 4,
    )


@contextmanager
def _closed_in(browser: Browser) -> Iterator[BrowserContext]:
    """A context of a browser that can reach nobody but this machine."""
    rules = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    found = browser.browser_type.launch(
        executable_path=CHROMIUM, args=[*QUIET, f"--host-resolver-rules={rules}"]
    )
    try:
        context = found.new_context(viewport={"width": 1280, "height": 800})
        context.add_init_script(_NOTING)
        yield context
    finally:
        found.close()


class _Watcher:
    """A window that is led from sheet to sheet, and what befell it."""

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url
        self.fired: list[tuple[str, str]] = []
        self.problems: list[str] = []
        self.shown = 0
        page.on("dialog", self._dialog)
        page.on("popup", self._popup)
        page.on("request", self._request)

    def _note(self, what: str) -> None:
        self.problems.append(what)

    def _dialog(self, dialog: Dialog) -> None:
        self._note(f"dialog {dialog.type}")
        dialog.dismiss()

    def _popup(self, popup: Page) -> None:
        self._note(f"popup {popup.url[:100]}")
        popup.close()

    def _request(self, request: Request) -> None:
        # Pictures may come from anywhere: their addresses are the merchant's.
        is_own = request.url.startswith((f"{self._url}/", "data:", "blob:"))
        if not is_own and request.resource_type != "image":
            self._note(f"{request.resource_type} {request.url[:100]}")

    def _is_complete(self) -> bool:
        """Wait until every element of the sheet shows its product."""
        for _ in range(200):
            if self._page.evaluate(_COMPLETE):
                return True
            self._page.wait_for_timeout(50)
        return False

    def see(self, address: str, *, patient: bool = True) -> None:
        """Open a sheet and read what its frames have done."""
        self._page.goto(address, wait_until="load", timeout=120_000 if patient else 20_000)
        if patient and not self._is_complete():
            # The element gives up after eight seconds, which on a busy machine may be too soon.
            self._page.reload(wait_until="load", timeout=120_000)
            if not self._is_complete():
                self._note(f"an element without its product at {address}")
        self._page.wait_for_timeout(50)
        fired = [tuple(each) for each in self._page.evaluate("() => window.__fired")]
        found = self._page.evaluate(_LOOKING) if patient else []
        self.fired += fired
        self.problems += [f"{what} at {where}"[:200] for what, where in [*fired, *found]]
        self.shown += self._page.evaluate(
            "() => document.querySelectorAll('iframe, buy-button').length"
        )
        if not self._page.url.startswith(address):
            self._note(f"led away to {self._page.url[:100]}")


def _add_sheets(app: Flask, texts: Sequence[str], slugs: Sequence[str]) -> None:
    """Pages that show many others, and the site without its policies."""

    def of(kind: str, number: int) -> str:
        text, slug = texts[number], slugs[number]
        campaign = urlencode({"utm_source": text, "utm_campaign": text})
        return {
            "product": f"/shop/products/{slug}?{campaign}",
            "embed": f"/shop/embed/{slug}?{urlencode({'accent': text, 'layout': text})}&{campaign}",
            "search": f"/shop/?{urlencode({'q': text})}",
            "host": f"/host?{urlencode({'reference': slug, 'other': slugs[0], 'words': text})}",
            "control": f"/control/{number}",
        }[kind]

    @app.get("/sheet/<kind>/<int:first>")
    def sheet(kind: str, first: int) -> str:
        share = _KINDS[kind]
        numbers = range(first, len(texts), share)[:FRAMES]
        if kind == "buttons":
            return render_template_string(_SHEET, frames=[], buttons=[slugs[n] for n in numbers])
        return render_template_string(_SHEET, frames=[of(kind, n) for n in numbers], buttons=[])

    @app.get("/control/<int:number>")
    def control(number: int) -> str:
        return raw(texts[number])

    app.wsgi_app = _bare(app.wsgi_app)  # type: ignore[method-assign,assignment]


def _bare(wsgi_app: WSGIApplication) -> WSGIApplication:
    """Take off what would stop a script, so that it shows."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [each for each in headers if each[0].lower() not in _REMOVED]
            return start_response(status, [*kept, _REPORTING], *more)

        return wsgi_app(environ, start)

    return answer
