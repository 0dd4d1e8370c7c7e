/* <buy-button product="pro-monthly">: a button of the shop, on any page. The page loads this file
   from the shop, and by its address the shop is known. What stands inside of the element is shown
   until the product is there, and stays when it can't be had. */
(() => {
  "use strict";

  const TAG = "buy-button";
  const UTM = ["utm-source", "utm-medium", "utm-campaign", "utm-content", "utm-term"];
  const TIMEOUT = 8000;
  const FRESH = 60000;
  const STYLE = `
:host {
  --_accent: #1f4ed8; --_on: #fff; --_text: #1b1b1f; --_muted: #5b5b66;
  --_surface: #fff; --_line: #e3e1dc; --_good: #14683c; --_blank: #efede8;
  display: inline-block; max-width: 100%; vertical-align: middle;
}
@supports (color: light-dark(#000, #fff)) {
  :host {
    --_accent: light-dark(#1f4ed8, #8fb0ff); --_on: light-dark(#fff, #0c1530);
    --_text: light-dark(#1b1b1f, #ececf1); --_muted: light-dark(#5b5b66, #a9a9b6);
    --_surface: light-dark(#fff, #1c1c21); --_line: light-dark(#e3e1dc, #34343c);
    --_good: light-dark(#14683c, #7ddba6); --_blank: light-dark(#efede8, #2a2a31);
  }
}
:host([hidden]) { display: none }
:host([theme="light"]) { color-scheme: light }
:host([theme="dark"]) { color-scheme: dark }
:host([theme="auto"]) { color-scheme: light dark }
:host([layout="card"]) { display: block; max-width: 20rem }
:host([layout="row"]) { display: block }
* { box-sizing: border-box }
.box {
  color: var(--storefront-text, var(--_text));
  font: 1rem/1.45 var(--storefront-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
  text-align: start; letter-spacing: normal; text-transform: none; overflow-wrap: anywhere;
}
.button {
  display: inline-flex; flex-wrap: wrap; gap: 0 .6em; align-items: center;
  justify-content: center; min-height: 2.75rem; max-width: 100%; padding: .5rem 1.1rem;
  border: 1px solid transparent; border-radius: calc(var(--storefront-radius, .75rem) * .75);
  background: var(--storefront-accent, var(--_accent));
  color: var(--storefront-on-accent, var(--_on));
  font-weight: 600; text-align: center; text-decoration: none;
}
::slotted(a) { display: inline-flex; align-items: center; min-height: 2.75rem }
.button:hover { filter: brightness(1.08) }
.button .price { color: inherit; font-weight: 500 }
a:focus-visible { outline: 2px solid #fff; box-shadow: 0 0 0 4px #1b1b1f }
.card, .row {
  background: var(--storefront-surface, var(--_surface));
  border: 1px solid var(--storefront-line, var(--_line));
  border-radius: var(--storefront-radius, .75rem); overflow: hidden;
}
.card { display: flex; flex-direction: column }
.picture {
  display: grid; place-items: center; aspect-ratio: 3 / 2; overflow: hidden;
  background: var(--_blank); color: var(--storefront-muted, var(--_muted));
  font-size: 3rem; font-weight: 600;
}
.picture img { width: 100%; height: 100%; object-fit: cover; display: block }
.card .words { display: flex; flex-direction: column; gap: .35rem; padding: 1rem; flex: 1 }
.row { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; padding: .75rem 1rem }
.row .words { flex: 1 1 10rem; min-width: 0; display: flex; flex-direction: column }
.name { color: inherit; font-weight: 650; text-decoration: none; min-height: 1.45em }
a.name:hover { text-decoration: underline }
.summary {
  color: var(--storefront-muted, var(--_muted)); font-size: .9rem; min-height: 2.9em;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
}
.price { font-weight: 600; min-height: 1.45em }
.price span { margin-inline-start: .5em }
.discount { color: var(--storefront-good, var(--_good)) }
.note, .trial { color: var(--storefront-muted, var(--_muted)); font-size: .9rem; font-weight: 400 }
.card .button, .card slot { margin-top: .5rem }
.unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}`;

  const script = document.currentScript || document.querySelector('script[src*="/embed.js"]');
  const home = script && script.src;

  // Constructed, a stylesheet needs no leave of the page's policy. A browser that knows none, and
  // a page that has the element already, are left as they are.
  let sheet;
  try {
    if (customElements.get(TAG)) return;
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  } catch {
    return;
  }

  const web = (address, base) => {
    try {
      const url = new URL(address, base);
      return /^https?:$/.test(url.protocol) ? url.href : null;
    } catch {
      return null;
    }
  };

  const make = (tag, name, text, lang) => {
    const node = document.createElement(tag);
    node.className = name;
    node.setAttribute("part", name);
    if (typeof text === "string") node.textContent = text;
    if (typeof lang === "string") node.lang = lang;
    return node;
  };

  const link = (name, address) => {
    const node = make("a", name);
    node.href = address;
    node.target = "_top";
    return node;
  };

  /* What was asked for in the last minute, by address: each product is asked for once. */
  const known = new Map();

  const load = (address) => {
    const found = known.get(address);
    if (found && Date.now() - found.at < FRESH) return found.answer;
    const control = new AbortController();
    const timer = setTimeout(() => control.abort(), TIMEOUT);
    const options = { credentials: "omit", referrerPolicy: "no-referrer", signal: control.signal };
    const answer = fetch(address, options)
      .then((response) => (response.ok ? response.json() : Promise.reject(response.status)))
      .then(
        (product) => (clearTimeout(timer), product),
        (reason) => {
          clearTimeout(timer);
          known.delete(address);
          console.warn(`<${TAG}>: ${address} can't be had (${reason})`);
          return null;
        },
      );
    known.set(address, { at: Date.now(), answer });
    return answer;
  };

  /* Text that reads well on a colour: one of the two has a contrast of at least 4.5. */
  const textOn = (hex) => {
    const full = hex.length === 3 ? hex.replace(/./g, "$&$&") : hex;
    const [r, g, b] = full.match(/../g).map((pair) => {
      const part = parseInt(pair, 16) / 255;
      return part > 0.04045 ? ((part + 0.055) / 1.055) ** 2.4 : part / 12.92;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b < 0.179 ? "#fff" : "#000";
  };

  customElements.define(
    TAG,
    class extends HTMLElement {
      static observedAttributes = ["product", "shop", "layout", "label", "accent", ...UTM];
      #root = this.attachShadow({ mode: "open" });
      #turn = 0;
      #shown = false;

      constructor() {
        super();
        this.#root.adoptedStyleSheets = [sheet];
        this.#fall();
      }

      connectedCallback() {
        this.#plan();
      }

      disconnectedCallback() {
        this.#turn++;
      }

      attributeChangedCallback() {
        if (this.isConnected) this.#plan();
      }

      /* Several changes at once are one; only the last turn may draw. */
      #plan() {
        const turn = ++this.#turn;
        queueMicrotask(() => turn === this.#turn && this.#update(turn));
      }

      async #update(turn) {
        try {
          const name = this.getAttribute("product");
          const own = this.getAttribute("shop");
          const shop = web(own ? own.replace(/\/?$/, "/") : home);
          if (!name || !shop) return this.#fall();
          if (!this.#shown) this.#draw(null);
          const product = await load(web(`products/${encodeURIComponent(name)}.json`, shop));
          if (turn === this.#turn) this.#draw(product || undefined);
        } catch {
          if (turn === this.#turn) this.#fall();
        }
      }

      /* What the page itself has put into the element. */
      #fall() {
        this.#shown = false;
        this.#root.replaceChildren(document.createElement("slot"));
      }

      /* The product; null while it is on its way, with room for what will be there. */
      #draw(product) {
        const { name, summary, language, price, url } = product || {};
        if (product !== null && !(name && price)) throw TypeError();
        const layout = this.getAttribute("layout");
        const card = layout === "card";
        const alone = !card && layout !== "row";
        const action = product ? this.#action(product, alone) : document.createElement("slot");
        const box = make("div", alone ? "box" : `box ${layout}`);
        this.#colour(box);
        if (alone) box.append(action);
        else {
          const words = make("div", "words");
          const page = product && web(url);
          const title = page ? link("name", page) : make("span", "name");
          title.append(make("span", "title", name, language));
          const cost = make("span", "price", price && price.headline, language);
          for (const key of ["discount", "trial"])
            if (product && product[key]) cost.append(make("span", key, product[key], language));
          words.append(title);
          if (card && (!product || summary)) words.append(make("span", "summary", summary, language));
          words.append(cost);
          if (card) box.append(this.#picture(product), words);
          else box.append(words);
          (card ? words : box).append(action);
        }
        this.#root.replaceChildren(box);
        this.#shown = !!product;
      }

      /* Where it can be bought; for a product that can't, the words that say so. */
      #action({ name, label, language, price, buy_url: target }, alone) {
        const address = web(target);
        if (target && !address) throw TypeError();
        const own = address && this.getAttribute("label");
        const node = address ? link("button", this.#campaign(address)) : make("span", "note");
        const words = make("span", "label", own || label, own ? null : language);
        words.append(make("span", "unseen", `: ${name}`, language));
        node.append(words);
        if (address && alone) node.append(make("span", "price", price.headline, language));
        return node;
      }

      #campaign(address) {
        const pairs = [];
        for (const attribute of UTM) {
          const value = (this.getAttribute(attribute) || "").slice(0, 500);
          // Half of a character, or a control, has no place in an address.
          const clean = value.replace(/[\p{Cc}\p{Cs}]/gu, "");
          if (clean) pairs.push(`${attribute.replace("-", "_")}=${encodeURIComponent(clean)}`);
        }
        const url = new URL(address);
        url.search = [url.search.slice(1), ...pairs].filter(Boolean).join("&");
        return url.href;
      }

      #picture(product) {
        const frame = make("div", "picture");
        const first = product && product.images && product.images[0];
        const source = first && web(first.url);
        const initial = () => frame.replaceChildren(product ? [...product.name][0].toUpperCase() : "");
        frame.ariaHidden = "true";
        initial();
        if (source) {
          const image = document.createElement("img");
          image.alt = "";
          image.decoding = "async";
          image.loading = "lazy";
          image.referrerPolicy = "no-referrer";
          image.onerror = initial;
          image.src = source;
          frame.replaceChildren(image);
        }
        return frame;
      }

      #colour(box) {
        const given = /^#?([\da-f]{3}|[\da-f]{6})$/i.exec(this.getAttribute("accent") || "");
        if (!given) return;
        box.style.setProperty("--storefront-accent", `#${given[1]}`);
        box.style.setProperty("--storefront-on-accent", textOn(given[1]));
      }
    },
  );
})();
