// Sorts tables by the column that is pressed, and hides rows without a text. Without scripts all rows stand in their order.
"use strict";
const amount = (text) => {
  const found = text.replace(/,/g, "").match(/^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : null;
};
const compare = (one, other) => {
  const [a, b] = [amount(one), amount(other)];
  if (a !== null && b !== null && a !== b) return a - b;
  return one.localeCompare(other, undefined, { numeric: true });
};
// The figure alone: why one is missing stands in the cell, too. What is missing comes last in either order.
const told = (row, column) => row.cells[column].firstChild?.textContent.trim() ?? "";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const sign = header.getAttribute("aria-sort") === "descending" ? 1 : -1;
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const column = header.cellIndex;
      const missing = (row) => ["", "-"].includes(told(row, column));
      body.append(...[...body.rows].sort((a, b) =>
        missing(a) - missing(b) || sign * compare(told(a, column), told(b, column))));
    });
  }
}
for (const label of document.querySelectorAll(".filter")) {
  label.hidden = false;
  const rows = label.parentElement.querySelectorAll("tbody tr");
  label.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
}
