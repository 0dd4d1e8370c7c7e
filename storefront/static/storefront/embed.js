/* <buy-button product="pro-monthly">: a button of the shop that this file is loaded from, on any
   page. What the page puts inside shows until the product is there, and stays without it. */
(() => {
  const TAG = "buy-button";
  const UTM = ["source", "medium", "campaign", "content", "term"].map((name) => `utm-${name}`);
  const TIMEOUT = 8000;
  const FRESH = 60000;
  const STYLE = `
:host {
  --_text: var(--storefront-text, light-dark(#1b1b1f, #ececf1));
  --_muted: var(--storefront-muted, light-dark(#5b5b66, #a9a9b6));
  --_radius: var(--storefront-radius, .75rem);
  display: inline-block; max-width: 100%; margin: .125rem 0; vertical-align: middle;
}
:host([hidden]) { display: none }
:host([theme="light"]) { color-scheme: light }
:host([theme="dark"]) { color-scheme: dark }
:host([theme="auto"]) { color-scheme: light dark }
:host([layout="card"]) { display: block; max-width: 20rem }
:host([layout="row"]) { display: block }
* { box-sizing: border-box }
.box {
  position: relative; color: var(--_text);
  font: 400 1rem/1.45 var(--storefront-font, system-ui, sans-serif);
  letter-spacing: 0; text-align: start; text-transform: none; overflow-wrap: anywhere;
}
.button {
  display: inline-flex; flex-wrap: wrap; gap: 0 .6em; align-items: center;
  justify-content: center; min-height: 2.75rem; max-width: 100%; padding: .5rem 1.1rem;
  border: 1px solid transparent; border-radius: calc(var(--_radius) * .75);
  background: var(--storefront-accent, light-dark(#1f4ed8, #8fb0ff));
  color: var(--storefront-on-accent, light-dark(#fff, #0c1530));
  font-weight: 600; text-decoration: none;
}
.button:hover { filter: brightness(1.08) }
.button .price { font-weight: 500 }
::slotted(a) { display: inline-flex; align-items: center; min-height: 2.75rem }
a:focus-visible { outline: 2px solid #fff; box-shadow: 0 0 0 4px #1b1b1f }
.card, .row {
  display: flex; overflow: hidden; border-radius: var(--_radius);
  border: 1px solid var(--storefront-line, light-dark(#e3e1dc, #34343c));
  background: var(--storefront-surface, light-dark(#fff, #1c1c21));
}
.row { flex-wrap: wrap; gap: .5rem 1rem; align-items: center; padding: .75rem 1rem }
.card { flex-direction: column; height: 100% }
.words { display: flex; flex-direction: column; flex: 1 1 10rem; min-width: 0 }
.row .words { align-items: flex-start }
.card .words { gap: .35rem; padding: 1rem }
.card .price { flex: 1; font-weight: 600 }
.card .button, .card slot { margin-top: .5rem }
.picture {
  position: relative; display: grid; place-items: center; aspect-ratio: 3 / 2;
  background: light-dark(#efede8, #2a2a31); color: var(--_muted); font-size: 3rem;
}
img { position: absolute; background: inherit; width: 100%; height: 100%; object-fit: cover }
.name { color: inherit; font-weight: 650; text-decoration: none }
.name:hover { text-decoration: underline }
.name, .price { min-height: 1.45em }
.summary {
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
  min-height: 2.9em;
}
.discount, .trial { margin-inline-start: .5em }
.summary, .note, .trial { color: var(--_muted); font-size: .9rem; font-weight: 400 }
.discount { color: light-dark(#14683c, #7ddba6) }
.unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}`;

  const script = document.currentScript || document.querySelector('script[src*="/embed.js"]');
  const home = script?.src;

  // A constructed stylesheet needs no leave of the page's policy.
  let sheet;
  try {
    if (customElements.get(TAG) || !CSS.supports("color", "light-dark(red, red)")) return;
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
    if (text) {
      node.textContent = text;
      node.dir = "auto";
    }
    if (lang) node.lang = lang;
    return node;
  };

  const lead = (node, address) => {
    node.href = address;
    node.target = "_top";
  };

  /* By address, what was asked for in the last minute: each product once. */
  const known = new Map();

  const load = (address) => {
    const found = known.get(address);
    if (found && Date.now() - found.at < FRESH) return found.answer;
    const control = new AbortController();
    const timer = setTimeout(() => control.abort(), TIMEOUT);
    const options = { credentials: "omit", referrerPolicy: "no-referrer", signal: control.signal };
    const answer = fetch(address, options)
      .then((response) => response.json())
      .catch(() => void known.delete(address))
      .finally(() => clearTimeout(timer));
    known.set(address, { at: Date.now(), answer });
    return answer;
  };

  /* Of these two, one has a contrast of at least 4.5 on any colour. */
  const textOn = (hex) => {
    const [r, g, b] = hex.match(hex[3] ? /../g : /./g).map((digits) => {
      const part = parseInt(digits, 16) / (hex[3] ? 255 : 15);
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
      #shown = "";

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
          const address = web(`products/${encodeURIComponent(name)}.json`, shop);
          if (this.#shown !== address) this.#draw(null);
          const product = (await load(address)) ?? {};
          if (turn !== this.#turn) return;
          this.#draw(product);
          this.#shown = address;
        } catch {
          if (turn === this.#turn) this.#fall();
        }
      }

      /* What the page itself has put into the element. */
      #fall() {
        this.#shown = "";
        this.#root.replaceChildren(document.createElement("slot"));
      }

      /* The product; null while it is on its way, with room for what comes. */
      #draw(product) {
        const { name, summary, language, price, discount, trial, url } = product || {};
        if (product && !(name && price)) throw TypeError();
        const layout = this.getAttribute("layout");
        const card = layout === "card";
        const alone = !card && layout !== "row";
        const action = product ? this.#action(product, alone) : document.createElement("slot");
        const box = make("div", alone ? "box" : `box ${layout}`);
        const given = /^#?([\da-f]{3}|[\da-f]{6})$/i.exec(this.getAttribute("accent"));
        if (given) {
          const set = (name, value) => box.style.setProperty(`--storefront-${name}`, value);
          set("accent", `#${given[1]}`);
          set("on-accent", textOn(given[1]));
        }
        if (!alone) {
          const words = make("div", "words");
          const page = web(url);
          const title = make(page ? "a" : "span", "name", name, language);
          if (page) lead(title, page);
          words.append(title);
          if (card && (summary || !product))
            words.append(make("span", "summary", summary, language));
          const cost = make("span", "price", price?.headline, language);
          if (discount) cost.append(make("span", "discount", discount, language));
          if (trial) cost.append(make("span", "trial", trial, language));
          words.append(cost);
          if (card) box.append(this.#picture(product));
          box.append(words);
          if (card) words.append(action);
        }
        if (!card) box.append(action);
        const focused = this.#root.activeElement;
        this.#root.replaceChildren(box);
        if (focused) this.#root.querySelector(`a.${focused.className}`)?.focus();
      }

      /* Where it can be bought; for a product that can't, the words that say so. */
      #action({ name, label, language, price, buy_url: target }, alone) {
        const address = web(target);
        if (target && !address) throw TypeError();
        const own = address && this.getAttribute("label");
        const node = make(address ? "a" : "span", address ? "button" : "note");
        const words = make("span", "label", own || label, own ? "" : language);
        words.append(make("span", "unseen", name, language));
        node.append(words);
        if (address) lead(node, this.#campaign(address));
        if (address && alone) node.append(make("span", "price", price.headline, language));
        return node;
      }

      #campaign(address) {
        const pairs = [];
        for (const attribute of UTM) {
          const value = (this.getAttribute(attribute) || "").slice(0, 500);
          // Controls and halves of characters have no place in an address.
          const clean = value.replace(/[\p{Cc}\p{Cs}]/gu, "");
          if (clean) pairs.push(`${attribute.replace("-", "_")}=${encodeURIComponent(clean)}`);
        }
        const url = new URL(address);
        url.search = [url.search.slice(1), ...pairs].filter(Boolean).join("&");
        return url.href;
      }

      #picture(product) {
        const frame = make("div", "picture", product && [...product.name][0].toUpperCase());
        const source = web(product?.images?.[0]?.url);
        frame.ariaHidden = true;
        if (source) {
          const image = document.createElement("img");
          image.alt = "";
          image.loading = "lazy";
          image.referrerPolicy = "no-referrer";
          image.onerror = () => image.remove();
          image.src = source;
          frame.append(image);
        }
        return frame;
      }
    },
  );
})();
