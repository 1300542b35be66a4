/* Tables are sorted by a click on a heading: upwards, downwards, and back to the order of the page.
   Numbers are compared by the first number of a cell ("0.76 ± 0.09", "1,200 s"), all else as text. */
"use strict";

const ORDERS = ["ascending", "descending", "none"];

function firstNumber(text) {
  const found = text.replace(/[−–]/g, "-").replace(/(\d),(?=\d{3})/g, "$1").match(/^[<>≤≥~ ]*(-?\.?\d[\d.]*(e[-+]?\d+)?)/i);
  return found ? Number(found[1]) : NaN;
}

function comparison(cells) {
  const filled = cells.filter((text) => /[\p{L}\p{N}]/u.test(text));
  const isNumeric = filled.length > 0 && filled.every((text) => !Number.isNaN(firstNumber(text)));
  if (!isNumeric) return (one, other) => one.localeCompare(other, "en", { numeric: true });
  return (one, other) => firstNumber(one) - firstNumber(other);
}

/* Cells without a value come last in both orders. */
function sorted(rows, column, order) {
  if (order === "none") return rows;
  const text = (row) => row.cells[column].textContent.trim();
  const isFilled = (row) => /[\p{L}\p{N}]/u.test(text(row));
  const compare = comparison(rows.map(text));
  const sign = order === "ascending" ? 1 : -1;
  const filled = rows.filter(isFilled).sort((one, other) => sign * compare(text(one), text(other)));
  return [...filled, ...rows.filter((row) => !isFilled(row))];
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const rows = [...body.rows];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.title = "Sort by this column";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort") ?? "none";
      const order = ORDERS[(ORDERS.indexOf(now) + 1) % ORDERS.length];
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      if (order !== "none") heading.setAttribute("aria-sort", order);
      body.append(...sorted(rows, column, order));
    });
  });
}

/* Two rows need no order, and a cell that spans several rows or columns would be torn apart. */
function isSortable(table) {
  const body = table.tBodies[0];
  if (!table.tHead || table.tHead.rows.length !== 1 || !body || body.rows.length < 3) return false;
  const width = table.tHead.rows[0].cells.length;
  return [...body.rows].every((row) => row.cells.length === width) && !table.querySelector("[rowspan], [colspan]");
}

document.addEventListener("DOMContentLoaded", () => {
  [...document.querySelectorAll("article table.docutils")].filter(isSortable).forEach(makeSortable);
});
