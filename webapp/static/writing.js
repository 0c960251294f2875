/* Replies being written: start one from a candidate, and don't lose one by accident. */

document.addEventListener("click", startFromCandidate);
document.addEventListener("click", askBeforeDiscarding, { capture: true });
document.addEventListener("submit", (event) => event.target.classList.add("sending"));
document.addEventListener("htmx:finally:request", () =>
  document.querySelector(".sending")?.classList.remove("sending"),
);
window.addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());

/** Copy a candidate's text into the reply; without a reply field the link itself does it. */
function startFromCandidate(event) {
  const link = event.target.closest("[data-copies]");
  const field = document.getElementById("final_text");
  const candidate = link && document.getElementById(link.dataset.copies);
  if (!field || !candidate) return;
  event.preventDefault();
  if (unsaved() && !confirm("Replace what you have written?")) return;
  field.value = candidate.textContent;
  field.focus();
}

function askBeforeDiscarding(event) {
  if (!event.target.closest("[data-discards]")) return;
  if (unsaved() && !confirm("Discard what you have written?")) {
    event.preventDefault();
    event.stopPropagation();
  } else {
    document.querySelector("[data-writes]")?.classList.add("sending");
  }
}

function unsaved() {
  const field = document.querySelector("[data-writes]:not(.sending) textarea");
  return field !== null && field.value !== field.defaultValue;
}
