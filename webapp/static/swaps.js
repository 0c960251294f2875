/* What must hold around htmx's swaps: they succeed, are announced, and keep the focus. */

import { announce, announcePage, settleFocus } from "./announce.js";
import { follow } from "./live.js";

document.addEventListener("htmx:after:request", checkAnswer);
document.addEventListener("htmx:after:swap", settle);
document.addEventListener("htmx:error", () => tell("The service could not be reached. Try again."));

/** An answer without the wanted part is another page: an error, or the sign-in after a redirect. */
function checkAnswer(event) {
  const { ctx } = event.detail;
  const page = new DOMParser().parseFromString(ctx.text, "text/html");
  if (!ctx.select || page.querySelector(ctx.select)?.matches(":not(:has(.login, .error))")) return;
  event.preventDefault();
  const signedOut = ctx.response.status <= 400;
  const writing = document.querySelector("[data-writes] textarea") !== null;
  if (signedOut && !writing) location.reload();
  else if (signedOut) tell("You are signed out. Copy your text, then load this page again.");
  else tell(page.querySelector(".error .prose")?.textContent ?? "That did not work. Try again.");
}

function settle(event) {
  const main = document.getElementById("main");
  const { select } = event.detail.ctx;
  if (select !== "#main") {
    if (select) announce(document.querySelector(select)?.dataset.says);
    return;
  }
  follow();
  announcePage(main);
  settleFocus(main);
}

/** Show a problem above the page as it is, so that nothing typed is lost. */
function tell(problem) {
  const main = document.getElementById("main");
  const told = main.querySelector(".flash.problem");
  // What is asked for every few seconds may fail as often; once told is enough.
  if (told?.textContent === problem) return;
  told?.remove();
  const flash = document.createElement("p");
  flash.className = "flash problem";
  flash.textContent = problem;
  main.prepend(flash);
  announcePage(main);
  flash.scrollIntoView({ block: "nearest" });
}
