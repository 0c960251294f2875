/* Single-key shortcuts. An element with data-key is focused (a field) or clicked (all else). */

import { judge } from "./rubric.js";

const OFF = "frugaldesk.shortcuts.off";
const dialog = document.getElementById("shortcuts");
const toggle = document.getElementById("shortcuts-on");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.altKey || dialog?.open) return;
  const field = event.target.closest?.("textarea, select, input:not([type=radio], [type=checkbox])");
  const handled = event.ctrlKey || event.metaKey ? withControl(event, field) : plain(event, field);
  if (handled) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
});

toggle?.addEventListener("change", () => {
  if (toggle.checked) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "yes");
  showHints();
});

function withControl(event, field) {
  const form = field?.form ?? event.target.closest?.("form") ?? document.querySelector("[data-judges]");
  if (event.key !== "Enter" || !form?.matches("[data-writes]")) return false;
  form.requestSubmit();
  return true;
}

function plain(event, field) {
  if (event.key === "Escape") return press("Escape") || leave(field);
  if (field || localStorage.getItem(OFF)) return false;
  if (judge(event.key)) return true;
  if (event.key === "j") return step(1);
  if (event.key === "k") return step(-1);
  return press(event.key);
}

function press(key) {
  const target = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  if (!target || target.disabled) return false;
  if (target.matches("input, textarea")) enter(target);
  else target.click();
  return true;
}

function enter(field) {
  field.focus();
  if (field.type === "search") field.select();
}

function leave(field) {
  field?.blur();
  return Boolean(field);
}

/** Move the focus along the list of tickets. */
function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1)];
  next?.focus();
  next?.closest("li").scrollIntoView({ block: "nearest" });
  return rows.length > 0;
}

/** Keys are shown on the buttons only while they work. */
function showHints() {
  document.documentElement.classList.toggle("keys", !localStorage.getItem(OFF));
}

if (toggle) toggle.checked = !localStorage.getItem(OFF);
showHints();
