// Mends faults of Gradio's for screen readers: a name on an element that cannot have one, and names that hide the words shown.
new MutationObserver(() => {
  for (const empty of document.querySelectorAll("div.empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
  for (const button of document.querySelectorAll("button[aria-dropeffect][aria-label]")) button.removeAttribute("aria-label");
  for (const button of document.querySelectorAll("button.thumbnail-item")) {
    const caption = button.querySelector(".caption-label")?.textContent.trim();
    if (caption) button.setAttribute("aria-label", caption);
  }
}).observe(document, { subtree: true, childList: true });
