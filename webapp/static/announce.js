/* Tells everyone what changed without a page load: screen readers in words, the keyboard by focus. */

/** Let screen readers say this. */
export function announce(text) {
  if (text) document.getElementById("announcer").textContent = text.trim();
}

/** Say what the new main part says first: its message, else its draft's heading. */
export function announcePage(main) {
  announce((main.querySelector(".flash") ?? main.querySelector("#draft-heading"))?.textContent);
}

/** Move the focus to where work goes on, unless it rests on something that is still there. */
export function settleFocus(main) {
  const focused = document.activeElement;
  if (focused !== document.body && focused !== main) return;
  const next = main.querySelector("[autofocus]") ?? main.querySelector("#draft-heading");
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}
