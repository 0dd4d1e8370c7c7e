// Opens checkout links over the page. A click that is not plain, a browser that can't, a frame that
// is refused or does not load: each ends where the link leads by itself.
//
// The checkout in the frame posts {type: "POLAR_CHECKOUT", event}: "loaded" when it is shown,
// "close", "confirmed" when a payment is on its way, and "success". It has no word for a payment
// that fails: then the frame says "loaded" again, or shows its form again and says nothing. So what
// "confirmed" locks is unlocked by "loaded", by "success", and in any case after a while.
// Source: the package @polar-sh/checkout 0.4.1 and Polar's checkout page, 2026-11-22.
"use strict";

{
  const script = document.currentScript;
  const said = script ? script.dataset : {};
  const origins = (said.storefrontOrigins || "").split(" ").filter(Boolean);
  const TIMEOUT = 1000 * (parseFloat(said.storefrontSeconds) || 10);
  // A frame that has loaded and says nothing shows an error, or is about to speak.
  const SILENCE = 4000;
  // Polar's page waits for a payment for 15 seconds, and then shows what became of it.
  const PATIENCE = 30000;

  const STYLE = `
    html:has(> body > .storefront-overlay:modal) { overflow: hidden; }
    html.storefront-scrolls:has(> body > .storefront-overlay:modal) { scrollbar-gutter: stable; }
    /* A copy, as in a page that Turbo kept, is not over the page, and nobody hears its buttons. */
    .storefront-overlay:not(:modal) { display: none; }
    .storefront-overlay {
      position: fixed; inset: 0; box-sizing: border-box; width: 100%; height: 100%;
      max-width: none; max-height: none; margin: 0; border: 0; padding: 0; overflow: hidden;
      background: transparent; outline: 0;
      color: var(--storefront-text, light-dark(#1b1b1f, #ececf1));
      font: 1rem/1.5 var(--storefront-font, system-ui, sans-serif);
    }
    .storefront-overlay::backdrop { background: rgb(0 0 0 / 0.5); }
    .storefront-overlay iframe {
      position: absolute; inset: 0; width: 100%; height: 100%; border: 0; color-scheme: normal;
    }
    .storefront-overlay-note {
      position: absolute; z-index: 1; inset: 0; width: fit-content; height: fit-content;
      max-width: min(100% - 2rem, 30rem); box-sizing: border-box; margin: auto;
      display: flex; flex-direction: column; align-items: center; gap: 1rem;
      border-radius: var(--storefront-radius, 0.75rem); padding: 1.5rem 2rem;
      background: var(--storefront-surface, light-dark(#fff, #1c1c21)); text-align: center;
      box-shadow: 0 0.5rem 2rem rgb(0 0 0 / 0.3);
    }
    .storefront-overlay-note p { margin: 0; }
    .storefront-overlay-note p:empty { position: absolute; }
    .storefront-overlay-note button {
      border: 1px solid; border-radius: calc(var(--storefront-radius, 0.75rem) * 0.75);
      padding: 0.45rem 1.1rem; background: none; color: inherit; font: inherit; font-weight: 600;
      cursor: pointer;
    }
    .storefront-overlay-note button:focus-visible {
      outline: 3px solid var(--storefront-accent, light-dark(#1f4ed8, #8fb0ff));
      outline-offset: 3px;
    }
    .storefront-overlay-note::before {
      content: ""; width: 2.25rem; height: 2.25rem; box-sizing: border-box; border-radius: 50%;
      border: 3px solid var(--storefront-line, light-dark(#e3e1dc, #34343c));
      border-top-color: var(--storefront-accent, light-dark(#1f4ed8, #8fb0ff));
    }
    .storefront-overlay:not([data-is="opening"]) .storefront-overlay-note {
      flex-direction: row; margin: 0.5rem auto auto; padding: 0.5rem 0.75rem; text-align: start;
      border: 1px solid var(--storefront-line, light-dark(#e3e1dc, #34343c));
    }
    .storefront-overlay:not([data-is="opening"]) .storefront-overlay-note::before { content: none; }
    .storefront-overlay[data-is="opening"] iframe { visibility: hidden; }
    .storefront-overlay[data-is="shown"] .storefront-overlay-note:not(:focus-within),
    .storefront-overlay[data-is="locked"] .storefront-overlay-note {
      opacity: 0; pointer-events: none;
    }
    @media (prefers-reduced-motion: no-preference) {
      .storefront-overlay-note::before { animation: storefront-turning 1.2s linear infinite; }
      /* What is there at once needs no word that it is coming. */
      [data-is="opening"] .storefront-overlay-note { animation: storefront-coming 0.2s 0.3s both; }
    }
    @keyframes storefront-turning { to { transform: rotate(1turn); } }
    @keyframes storefront-coming { from { opacity: 0; } }
  `;

  let current = null;
  let style = null;

  // Whether the page is dark where this element stands, whoever decided that.
  const isDark = (element) => {
    element.style.setProperty("color", "light-dark(rgb(0, 0, 0), rgb(1, 1, 1))");
    const { color } = getComputedStyle(element);
    element.style.removeProperty("color");
    return color === "rgb(1, 1, 1)";
  };

  const open = (button, link) => {
    const detail = {
      product: button.dataset.storefrontProduct || null,
      link: button.dataset.storefrontLink || null,
      campaign: Object.fromEntries([...link.searchParams].filter(([name]) => /^utm_/.test(name))),
    };
    const plain = link.href;
    const title = said.storefrontTitle || "Checkout";
    const root = document.documentElement;
    const dialog = document.createElement("dialog");
    const note = document.createElement("div");
    const words = document.createElement("p");
    const closer = document.createElement("button");
    const frame = document.createElement("iframe");
    const watching = new AbortController();
    const timers = {};
    let loads = 0;
    let spokeAt = -Infinity;
    let succeeded = false;
    let leaving = false;

    const tell = (event) =>
      (button.isConnected ? button : document).dispatchEvent(
        new CustomEvent(`storefront:${event}`, { bubbles: true, composed: true, detail }),
      );
    const on = (target, event, listener) =>
      target.addEventListener(event, listener, { signal: watching.signal });
    const later = (name, wait, what) => {
      clearTimeout(timers[name]);
      timers[name] = setTimeout(what, wait);
    };
    const still = (...names) => names.forEach((name) => clearTimeout(timers[name]));
    const is = (state) => dialog.dataset.is === state;
    const become = (state, text = "") => {
      dialog.dataset.is = state;
      dialog.setAttribute("closedby", state === "locked" ? "none" : "closerequest");
      closer.disabled = state === "locked";
      words.textContent = text;
    };

    const end = (event) => {
      if (!current || current.dialog !== dialog) return;
      current = null;
      watching.abort();
      still(...Object.keys(timers));
      if (leaving && event) window.stop();
      dialog.close();
      dialog.remove();
      root.classList.remove("storefront-scrolls");
      if (button.isConnected) button.focus({ preventScroll: true });
      if (event) tell(event);
    };
    const giveUp = () => {
      if (!dialog.isConnected) return end();
      still(...Object.keys(timers));
      frame.remove();
      leaving = true;
      tell("timeout");
      location.assign(plain);
    };
    const heard = ({ event, redirect, successURL }) => {
      spokeAt = performance.now();
      still("loading", "silence");
      if (event === "close") {
        if (!is("locked")) end("close");
      } else if (succeeded) {
        // A frame that stays after the purchase has nothing new to say.
      } else if (event === "loaded") {
        const first = is("opening");
        still("patience");
        become("shown");
        if (first) {
          frame.focus();
          tell("loaded");
        }
      } else if (event === "confirmed") {
        later("patience", PATIENCE, () => become("late", said.storefrontPatience));
        if (is("locked")) return;
        become("locked");
        tell("confirmed");
      } else if (event === "success") {
        succeeded = true;
        still("patience");
        tell("success");
        if (redirect === true && /^https?:\/\//i.test(successURL)) {
          become("locked");
          later("patience", PATIENCE, () => become("late"));
          location.assign(successURL);
        } else {
          become("late");
        }
      }
    };

    on(window, "message", ({ data, origin, source }) => {
      if (!dialog.isConnected) return end();
      if (!source || source !== frame.contentWindow || !origins.includes(origin)) return;
      if (data && data.type === "POLAR_CHECKOUT") heard(data);
    });
    on(frame, "load", () => {
      loads += 1;
      if (loads > 1 ? performance.now() - spokeAt < 1000 : !is("opening")) return;
      later("silence", SILENCE, () => {
        if (is("opening")) giveUp();
        else if (is("shown")) become("late");
      });
    });
    on(document, "securitypolicyviolation", (event) => {
      const ours = [link.origin, ...origins];
      const isOurs = ours.some((origin) => event.blockedURI.startsWith(origin));
      const isRefused = event.effectiveDirective === "frame-src" && event.disposition === "enforce";
      if (is("opening") && isOurs && isRefused) giveUp();
    });
    // Back from another page, this one is as it was before the click.
    on(window, "pagehide", () => end());
    on(closer, "click", () => end("close"));
    for (const event of ["keydown", "cancel"]) {
      on(dialog, event, (close) => {
        if (is("locked") && (event === "cancel" || close.key === "Escape")) close.preventDefault();
      });
    }
    on(dialog, "close", () => {
      // No browser lets a page refuse for ever; a payment that is on its way is a reason to insist.
      if (is("locked")) dialog.showModal();
      else end("close");
    });

    dialog.className = "storefront storefront-overlay";
    dialog.setAttribute("role", "dialog");
    dialog.setAttribute("aria-modal", "true");
    dialog.setAttribute("aria-label", title);
    note.className = "storefront-overlay-note";
    words.setAttribute("role", "status");
    closer.type = "button";
    closer.textContent = said.storefrontClose || "Close";
    frame.title = title;
    frame.allow = ["payment", "publickey-credentials-get"]
      .map((feature) => `${feature} ${origins.join(" ")}`)
      .join("; ");
    become("opening", said.storefrontLoading);
    note.append(words, closer);
    dialog.append(note);

    if (!style) {
      style = new CSSStyleSheet();
      style.replaceSync(STYLE);
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, style];
    }
    root.classList.toggle("storefront-scrolls", window.innerWidth > root.clientWidth);
    document.body.append(dialog);
    const theme = button.dataset.polarCheckoutTheme || (isDark(dialog) ? "dark" : "light");
    link.searchParams.set("embed", "true");
    link.searchParams.set("embed_origin", location.origin);
    link.searchParams.set("theme", theme);
    frame.src = link.href;
    // Only now: an empty frame would load at once.
    dialog.append(frame);
    dialog.showModal();
    current = { dialog, end };
    later("loading", TIMEOUT, giveUp);
    tell("open");
  };

  // On the document, so that buttons that come later work as well.
  const clicked = (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const button = event
      .composedPath()
      .find((element) => element.matches && element.matches("a[href][data-polar-checkout]"));
    if (!button || button.hasAttribute("download")) return;
    if (button.target && button.target !== "_self") return;
    const link = new URL(button.href);
    // Whoever may put a link into the page may not put a page of theirs over it.
    if (link.origin !== location.origin && !origins.includes(link.origin)) return;
    if (current && !current.dialog.isConnected) current.end();
    if (!current) open(button, link);
    event.preventDefault();
  };

  // The youngest of what is needed here: who has it has dialogs and constructed stylesheets too.
  if (origins.length && CSS.supports("color", "light-dark(red, red)")) {
    document.addEventListener("click", clicked);
  }
}
