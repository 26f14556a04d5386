// Mends faults of Gradio's for people who use keys: a slider tells of its new value only when a pointer lets go of it.
document.addEventListener("keyup", ({ target, key }) => {
  if (target.type === "range" && /^(Arrow|Page|Home|End)/.test(key)) target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
});

// Mends faults of Gradio's for screen readers: a name on an element that cannot have one, and names that hide the words shown.
new MutationObserver(() => {
  for (const empty of document.querySelectorAll("div.empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
  for (const button of document.querySelectorAll("button[aria-dropeffect][aria-label]")) button.removeAttribute("aria-label");
  for (const button of document.querySelectorAll("button.thumbnail-item")) {
    const caption = button.querySelector(".caption-label")?.textContent.trim();
    if (caption) button.setAttribute("aria-label", caption);
  }
}).observe(document, { subtree: true, childList: true });
