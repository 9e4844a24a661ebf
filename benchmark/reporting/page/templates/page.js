"use strict";
(() => {
  const root = document.documentElement;

  const isDark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;

  const theme = document.getElementById("theme");
  const nameTheme = () => { theme.textContent = isDark() ? "Light page" : "Dark page"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("ferfuse-theme", root.dataset.theme); } catch { /* a page from a file may keep nothing */ }
    nameTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
  nameTheme();

  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function compare(first, second) {
    const [a, b] = [first.dataset.order, second.dataset.order];
    if (a === "" || b === "") return 0;
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? collator.compare(a, b) : x - y;
  }

  function sortBy(table, place, direction) {
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => a.dataset.place - b.dataset.place);
    if (direction !== 0) {
      rows.sort((a, b) => {
        const [first, second] = [a.cells[place], b.cells[place]];
        const empty = (first.dataset.order === "") - (second.dataset.order === "");
        return empty || direction * compare(first, second);
      });
    }
    table.classList.toggle("sorted", direction !== 0);
    body.append(...rows);
  }

  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const order = head.classList.contains("number")
          ? ["none", "descending", "ascending"]
          : ["none", "ascending", "descending"];
        const next = order[(order.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
        heads.forEach(other => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", next);
        sortBy(table, place, { none: 0, ascending: 1, descending: -1 }[next]);
      });
    });
  }

  function makeFilterable(field) {
    const rows = [...document.getElementById(field.dataset.table).tBodies[0].rows];
    const count = document.getElementById(field.getAttribute("aria-describedby"));
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach(row => {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
      });
      const shown = rows.filter(row => !row.hidden).length;
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
  }

  const parts = [...document.querySelectorAll("details.part")];
  const openAt = () => document.getElementById(location.hash.slice(1))?.closest("details.part")?.setAttribute("open", "");
  parts.forEach(part => { part.open = false; });
  openAt();
  addEventListener("hashchange", openAt);
  let closed = [];
  addEventListener("beforeprint", () => { closed = parts.filter(part => !part.open); closed.forEach(part => { part.open = true; }); });
  addEventListener("afterprint", () => closed.forEach(part => { part.open = false; }));

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("input[data-table]").forEach(makeFilterable);
})();
