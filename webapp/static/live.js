/* Shows the steps of a running draft as they happen, then its outcome, over server-sent events. */

import { announce, announcePage, settleFocus } from "./announce.js";

const RETRY_MS = 3000;
let source = null;

/** Listen for the draft that the page shows as running, if it shows one. */
export function follow() {
  source?.close();
  const running = document.querySelector("[data-live]");
  source = running && new EventSource(running.dataset.live);
  source?.addEventListener("steps", showSteps);
  source?.addEventListener("outcome", showOutcome);
  source?.addEventListener("error", reloadIfRefused);
}

function showSteps(event) {
  const tiers = document.getElementById("tiers");
  tiers.innerHTML = event.data;
  announce(tiers.querySelector("[data-says]")?.dataset.says);
}

function showOutcome(event) {
  event.target.close();
  const main = document.getElementById("main");
  main.innerHTML = event.data;
  htmx.process(main);
  announcePage(main);
  settleFocus(main);
}

/** The browser opens a broken connection again; one that was refused needs the page anew. */
function reloadIfRefused(event) {
  if (event.target.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), RETRY_MS);
}

follow();
