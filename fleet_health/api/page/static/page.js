// Shows the page anew when the service says that something has changed. Without this script the browser loads it anew.
"use strict";
(() => {
  const root = document.documentElement;
  const LEAST = 2000, MOST = 60000, PATIENCE = 10000;
  let changes = null, timer = 0, shownAt = Date.now(), isLost = false;

  const isBusy = () => {
    const selected = document.getSelection(), active = document.activeElement;
    const isTyped = active?.tagName === "INPUT" && active.value !== active.defaultValue;
    return isTyped || (selected !== null && !selected.isCollapsed);
  };

  // Only where there is a clipboard: a page that came without TLS, and not from this machine, has none.
  const offerCopies = (page) => {
    if (navigator.clipboard === undefined) return;
    for (const button of page.querySelectorAll(".copy")) button.hidden = false;
  };

  // Takes over what is new, part by part: what stays keeps its focus and its place.
  const replace = (fresh) => {
    const open = new Set([...document.querySelectorAll("details[open]")].map((one) => one.id));
    const focused = document.activeElement?.id || document.activeElement?.getAttribute("href");
    offerCopies(fresh);
    for (const one of fresh.querySelectorAll("details")) one.open = open.has(one.id);
    const parts = [...document.querySelectorAll("[data-part]")].map((one) => one.dataset.part);
    const wanted = [...fresh.querySelectorAll("[data-part]")].map((one) => one.dataset.part);
    const isSame = parts.join() === wanted.join();
    for (const part of isSame ? parts.filter((one) => one !== "main") : ["main"]) {
      const old = document.querySelector(`[data-part="${part}"]`);
      const next = fresh.querySelector(`[data-part="${part}"]`);
      if (old !== null && next !== null && old.outerHTML !== next.outerHTML) old.replaceWith(document.adoptNode(next));
    }
    if (document.activeElement === document.body && focused) {
      [...document.querySelectorAll("[id], [href]")]
        .find((one) => one.id === focused || one.getAttribute("href") === focused)?.focus({ preventScroll: true });
    }
    document.title = fresh.title;
    const icon = fresh.querySelector('link[rel="icon"]');
    if (icon !== null) document.querySelector('link[rel="icon"]').href = icon.getAttribute("href");
  };

  const lost = (is) => {
    isLost = is;
    root.classList.toggle("lost", is);
    document.getElementById("lost").textContent = is ? "The service does not answer. This is what it said last." : "";
  };

  const show = async () => {
    timer = 0;
    if (document.hidden || isBusy()) return later(LEAST);
    shownAt = Date.now();
    try {
      // systemd keeps the socket open while the service is away, so that there may be no refusal, but no answer either.
      const signal = AbortSignal.timeout(PATIENCE);
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal });
      if (!answer.ok) throw new Error(answer.status);
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      lost(false);
    } catch {
      lost(true);
    }
    later(changes?.readyState === 1 ? MOST : MOST / 4);
  };

  const later = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(show, wait);
  };

  const soon = () => later(Math.max(0, shownAt + LEAST - Date.now()));

  // A browser keeps few connections to one server, so a page that nobody sees has none.
  const listen = () => {
    changes?.close();
    changes = null;
    if (document.hidden || root.dataset.live === "file") return;
    changes = new EventSource(`${root.dataset.root}changes`);
    changes.onmessage = soon;
    changes.onopen = () => { if (isLost) soon(); };
    changes.onerror = () => {
      if (changes?.readyState === 2) setTimeout(listen, MOST); // it was refused, there are too many others
      soon();
    };
  };

  document.addEventListener("click", async (event) => {
    if (!event.target.matches?.(".copy")) return;
    await navigator.clipboard.writeText(event.target.previousElementSibling.textContent);
    event.target.textContent = "Copied";
    setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
  });
  offerCopies(document);

  if ("live" in root.dataset && location.protocol.startsWith("http")) {
    document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) soon(); });
    listen();
    later(MOST);
  }
})();
