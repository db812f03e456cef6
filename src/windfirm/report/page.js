"use strict";
/* Makes tables sort, series hide and examples filter. Every control is made here: without this script the page is plain
   tables and pictures. */

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/* Tables: a header sorts up, then down, then back to how the rows stood. */

const known = (cell) => cell.dataset.value !== undefined && cell.dataset.value !== "";

const compare = (a, b) =>
  known(a) && known(b)
    ? Number(a.dataset.value) - Number(b.dataset.value)
    : a.textContent.trim().localeCompare(b.textContent.trim(), "en", { numeric: true });

function sort(table, column, direction) {
  for (const body of table.tBodies) {
    const rows = [...body.rows].sort((a, b) => a.dataset.place - b.dataset.place);
    if (direction) {
      const numeric = rows.some((row) => known(row.cells[column]));
      const missing = (row) => (numeric ? !known(row.cells[column]) : row.cells[column].textContent.trim() === "");
      const factor = direction === "ascending" ? 1 : -1;
      rows.sort((a, b) => missing(a) - missing(b) || factor * compare(a.cells[column], b.cells[column]));
    }
    body.append(...rows);
  }
}

function sortable(table) {
  for (const body of table.tBodies) [...body.rows].forEach((row, place) => (row.dataset.place = place));
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      const direction = next === undefined ? "ascending" : next;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (direction) head.setAttribute("aria-sort", direction);
      sort(table, column, direction);
    });
  });
}

/* Figures: an entry of the legend hides its series and shows it again. */

function toggles(figure) {
  const keys = [...figure.querySelectorAll(".key")];
  if (keys.length < 2) return;
  figure.setAttribute("role", "group"); /* a picture has no buttons inside */
  for (const key of keys) {
    const name = key.dataset.series;
    const parts = [...figure.querySelectorAll("[data-series]:not(.key)")].filter((part) => part.dataset.series === name);
    key.setAttribute("role", "button");
    key.setAttribute("tabindex", "0");
    key.setAttribute("aria-pressed", "true");
    key.setAttribute("aria-label", `show ${name}`);
    const toggle = () => {
      const shown = key.getAttribute("aria-pressed") !== "true";
      key.setAttribute("aria-pressed", String(shown));
      parts.forEach((part) => part.classList.toggle("off", !shown));
    };
    key.addEventListener("click", toggle);
    key.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle();
    });
  }
}

/* Examples: columns stay whose image fooled these networks. */

const choices = {
  "all": () => true,
  "only F fooled": (f, pruned) => f && !pruned,
  "only F′ fooled": (f, pruned) => !f && pruned,
  "both": (f, pruned) => f && pruned,
  "neither": (f, pruned) => !f && !pruned,
};

function filter(section) {
  const strips = [...section.querySelectorAll(".strip")].filter((strip) => strip.querySelector("[data-fooled]"));
  const count = make("output");
  const show = (chosen) => {
    let shown = 0, all = 0;
    for (const strip of strips) {
      let left = 0;
      for (const row of strip.rows) {
        left = 0;
        for (const cell of row.querySelectorAll("[data-fooled]")) {
          const fooled = cell.dataset.fooled.split(" ");
          const stays = choices[chosen](fooled.includes("F"), fooled.includes("F'"));
          cell.classList.toggle("off", !stays);
          left += stays;
        }
      }
      strip.classList.toggle("off", left === 0);
      shown += left;
      all += strip.rows[0].querySelectorAll("[data-fooled]").length;
    }
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === chosen)));
    count.textContent = `${shown} of ${all} examples`;
  };
  const buttons = Object.keys(choices).map((chosen) => {
    const button = make("button", { type: "button" }, chosen);
    button.addEventListener("click", () => show(chosen));
    return button;
  });
  const bar = make("div", { className: "filter" }, ...buttons, count);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Which examples");
  let place = strips[0].closest(".scroll") ?? strips[0];
  while (place.tagName !== "H3" && place.previousElementSibling) place = place.previousElementSibling;
  place.before(bar);
  show("all");
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("svg").forEach(toggles);
const filtered = [...document.querySelectorAll(".strip [data-fooled]")].map((cell) => cell.closest("section"));
new Set(filtered).forEach(filter);
