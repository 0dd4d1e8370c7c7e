// Buttons that copy a license key. Without scripts they stay hidden, and the key is text to select.
"use strict";

for (const button of document.querySelectorAll("[data-storefront-copy]")) {
  const key = document.getElementById(button.dataset.storefrontCopy);
  const words = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(key.textContent);
    } catch {
      // No clipboard without HTTPS: selected text is copied the old way.
      getSelection().selectAllChildren(key);
      if (!document.execCommand("copy")) return;
    }
    button.textContent = button.dataset.storefrontCopied;
    setTimeout(() => {
      button.textContent = words;
    }, 2000);
  });
}
