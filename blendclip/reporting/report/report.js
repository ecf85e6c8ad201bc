"use strict";

// Tables sort by clicking their headings. A link such as index.html#table-headline/2/descending sorts one when it opens:
// the table, its column counted from 0, direction.

function valueOf(row, column) {
  const cell = row.cells[column];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
}

function isMissing(value) {
  return value === "" || value === "–";
}

function compare(first, second) {
  if (typeof first === "number" && typeof second === "number") return first - second;
  return String(first).localeCompare(String(second), "en", { numeric: true });
}

function sortTable(table, column, direction) {
  const sign = direction === "descending" ? -1 : 1;
  for (const heading of table.tHead.rows[table.tHead.rows.length - 1].cells) {
    if (heading.cellIndex === column) heading.setAttribute("aria-sort", direction);
    else heading.removeAttribute("aria-sort");
  }
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("heading"));
    const known = rows.filter((row) => !isMissing(valueOf(row, column)));
    const missing = rows.filter((row) => isMissing(valueOf(row, column)));
    known.sort((a, b) => sign * compare(valueOf(a, column), valueOf(b, column)));
    body.append(...known, ...missing);
  }
}

function otherDirection(heading) {
  const now = heading.getAttribute("aria-sort");
  if (now) return now === "descending" ? "ascending" : "descending";
  return heading.classList.contains("number") ? "descending" : "ascending";
}

function sortFromAddress() {
  const parts = /^#([^/]+)\/(\d+)\/(ascending|descending)$/.exec(decodeURIComponent(location.hash));
  const box = parts && document.getElementById(parts[1]);
  const table = box && box.querySelector("table");
  if (!table) return;
  sortTable(table, Number(parts[2]), parts[3]);
  box.scrollIntoView();
}

function tellOfScrolling() {
  for (const note of document.querySelectorAll(".scrolls")) {
    const box = note.nextElementSibling;
    note.hidden = box.clientWidth > 0 && box.scrollWidth <= box.clientWidth;
    note.classList.toggle("overflows", !note.hidden);
  }
}

for (const button of document.querySelectorAll(".table th button")) {
  const heading = button.parentElement;
  button.addEventListener("click", () => sortTable(heading.closest("table"), heading.cellIndex, otherDirection(heading)));
}
for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", tellOfScrolling);
window.addEventListener("resize", tellOfScrolling);
window.addEventListener("hashchange", sortFromAddress);
tellOfScrolling();
sortFromAddress();
