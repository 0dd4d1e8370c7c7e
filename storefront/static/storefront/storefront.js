"use strict";

// Buttons that copy a license key. Without scripts they stay hidden, and the key is text to select.
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

// A product's pictures. Without scripts the small ones are links to the large ones, and do as well:
// this keeps their addresses out of the history, and marks the one that is looked at.
for (const gallery of document.querySelectorAll(".storefront-gallery")) {
  const links = gallery.querySelectorAll(".storefront-thumbs a");
  const watcher = new IntersectionObserver(
    (seen) => {
      for (const { isIntersecting, target } of seen) {
        if (!isIntersecting) continue;
        for (const link of links) {
          if (link.hash === `#${target.id}`) link.setAttribute("aria-current", "true");
          else link.removeAttribute("aria-current");
        }
      }
    },
    { root: gallery.querySelector(".storefront-pictures"), threshold: 0.6 },
  );
  for (const link of links) {
    const picture = document.getElementById(link.hash.slice(1));
    watcher.observe(picture);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      picture.scrollIntoView({ block: "nearest", inline: "start" });
    });
  }
}
