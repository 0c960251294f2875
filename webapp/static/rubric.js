/* Judging by keyboard: a digit goes to a criterion, y and n answer it and go on to the next. */

/** Do what this key means for the rubric on the page; false where it means nothing to it. */
export function judge(key) {
  const criteria = [...document.querySelectorAll("[data-criterion]")];
  const asked = /^[1-9]$/.test(key) && criteria[key - 1];
  if (asked) return go(asked);
  const at = criteria.findIndex((each) => each.contains(document.activeElement));
  const choice = criteria[at]?.querySelector(`[data-answer="${CSS.escape(key)}"]`);
  if (!choice) return false;
  choice.click();
  return criteria[at + 1] ? go(criteria[at + 1]) : go(criteria[at]);
}

/** Focus the criterion's answer, or its first one while it has none. */
function go(criterion) {
  const answers = [...criterion.querySelectorAll("[data-answer]")];
  (answers.find((each) => each.checked) ?? answers[0]).focus();
  criterion.scrollIntoView({ block: "nearest" });
  return true;
}
