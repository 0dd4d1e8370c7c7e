// In a frame: tells the page around the checkout how far it is, and gives it a button to close.
// Opened by itself the page needs none of this.
(() => {
  "use strict";
  // Browsers let no frame of another site do this by an attribute.
  const alert = document.querySelector("main [role=alert]");
  if (alert) alert.focus();
  if (window.parent === window) {
    const onward = document.querySelector("a.onward");
    if (onward) location.replace(onward.href);
    return;
  }
  const { embedder, event, successUrl, redirect } = document.body.dataset;
  const tell = (message) =>
    window.parent.postMessage({ type: "POLAR_CHECKOUT", ...message }, embedder);

  const close = document.querySelector("button.close");
  if (close) {
    close.hidden = false;
    close.addEventListener("click", () => tell({ event: "close" }));
  }
  // Who pays in a frame stays in it, and hears of what becomes of it there.
  for (const field of document.querySelectorAll("input[name=framed]")) field.value = "yes";
  for (const button of document.querySelectorAll("[formtarget=_top]")) {
    button.removeAttribute("formtarget");
  }

  if (event === "success") {
    tell({ event, successURL: successUrl, redirect: redirect === "yes" });
  } else if (event) {
    tell({ event });
  }
})();
