// Updates the page when the service reports a change. Without this script, the browser reloads it every minute.
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

  // Without TLS, browsers offer a clipboard only to pages of this machine.
  const offerCopies = (page) => {
    if (navigator.clipboard === undefined) return;
    for (const button of page.querySelectorAll(".copy")) button.hidden = false;
  };

  // Replaces the parts that have changed. The others keep the focus and the scroll position.
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
    document.getElementById("lost").textContent = is ? "The service does not respond. This page shows its last known state." : "";
  };

  const show = async () => {
    timer = 0;
    if (document.hidden || isBusy()) return later(LEAST);
    shownAt = Date.now();
    try {
      // systemd keeps the socket open while the service is stopped, so a connection may get no response.
      const signal = AbortSignal.timeout(PATIENCE);
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal });
      if (!response.ok) throw new Error(response.status);
      replace(new DOMParser().parseFromString(await response.text(), "text/html"));
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

  // A browser opens few connections to one server, so hidden pages close theirs.
  const listen = () => {
    changes?.close();
    changes = null;
    if (document.hidden || root.dataset.live === "file") return;
    changes = new EventSource(`${root.dataset.root}changes`);
    changes.onmessage = soon;
    changes.onopen = () => { if (isLost) soon(); };
    changes.onerror = () => {
      if (changes?.readyState === 2) setTimeout(listen, MOST); // refused: too many clients wait already
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
