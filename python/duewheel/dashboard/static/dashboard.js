// What pages do beyond forms and links, all of which work without it: questions in a dialog, and "/" for the search.
(() => {
  "use strict";
  const dialog = document.getElementById("dialog");

  const ask = async (link) => {
    const response = await fetch(link.href, { headers: { Accept: "text/html" } });
    const answer = new DOMParser().parseFromString(await response.text(), "text/html");
    const form = answer.getElementById("confirm");
    if (!response.ok || !form) {
      window.location.assign(link.href);
      return;
    }
    const heading = form.querySelector("h1");
    const title = document.createElement("h2");
    title.textContent = heading.textContent;
    heading.replaceWith(title);
    dialog.replaceChildren(document.adoptNode(form));
    dialog.showModal();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link === null || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    if (link.hasAttribute("data-dialog")) {
      event.preventDefault();
      ask(link).catch(() => window.location.assign(link.href));
    } else if (link.hasAttribute("data-cancel") && dialog.open) {
      event.preventDefault();
      dialog.close();
    }
  });

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, [contenteditable]");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    event.preventDefault();
    document.getElementById("find").focus();
  });

  const current = document.querySelector('.menu [aria-current="page"]');
  if (current) current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.offsetLeft - 40;

  // A notice says what has just been done: it is gone when the page is loaded again.
  const url = new URL(window.location);
  for (const name of ["notice", "done", "failed", "left"]) url.searchParams.delete(name);
  if (url.href !== window.location.href) window.history.replaceState(null, "", url);
})();
