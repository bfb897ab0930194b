"use strict";
// Draws the plots, the table of candidates, and the one that was chosen in any of them. Text from data is set as text, never as HTML.
let facts;
let byNumber;
const escaped = (text) => String(text).replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);
const told = (value, digits) => (value === null || value === undefined ? "" : Number(value).toFixed(digits));
const large = (value) => (value === null || value === undefined ? "" : Number(value).toLocaleString("en"));

function label(number) {
  const row = byNumber.get(number);
  if (!row) return `#${number}`;
  const parts = [`#${row.number} ${row.state}, ${row.operator}`];
  if (row.score !== null) parts.push(`score ${told(row.score, 4)}`);
  if (row.parameters !== null) parts.push(`${large(row.parameters)} parameters, ${told(row.flops / 1e6, 1)} MFLOPs`);
  if (row.parents.length) parts.push(`from ${row.parents.map((parent) => `#${parent}`).join(", ")}`);
  if (row.architecture) parts.push(row.architecture.length > 90 ? `${row.architecture.slice(0, 89)}…` : row.architecture);
  return parts.map(escaped).join("<br>");
}

function draw(place, figure) {
  const narrow = window.innerWidth < 760;
  for (const trace of figure.data) {
    if (trace.customdata) trace.text = trace.customdata.map(label);
  }
  const layout = { ...figure.layout, autosize: true, paper_bgcolor: "white", plot_bgcolor: "white" };
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis/.test(name)) {
      layout[name] = { gridcolor: "#e4e7eb", zeroline: false, automargin: true, linecolor: "#9aa5b1", ...layout[name] };
      if (layout[name].title) layout[name].title.standoff = 6;
    }
  }
  const high = narrow ? stack(layout) : 0;
  if (high) place.style.minHeight = `${high}px`;
  Plotly.newPlot(place, figure.data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
  place.on("plotly_click", (event) => {
    const number = event.points[0].customdata;
    if (number !== undefined) choose(number);
  });
}

// On a telephone, plots that stand side by side stand one below the other.
function stack(layout) {
  const axes = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name) && layout[name].domain);
  if (axes.length < 2) return 0;
  axes.forEach((name, place) => {
    const part = 1 / axes.length;
    layout[name] = { ...layout[name], domain: [0, 1] };
    const other = name.replace("x", "y");
    layout[other] = { ...layout[other], domain: [1 - (place + 1) * part + 0.32 * part, 1 - place * part] };
  });
  layout.height = 300 * axes.length;
  return layout.height;
}

function choose(number) {
  const row = byNumber.get(number);
  const place = document.getElementById("chosen");
  place.replaceChildren();
  if (!row) return;
  const title = document.createElement("h3");
  title.textContent = `#${row.number}: ${row.state}${row.reason ? ` (${row.reason})` : ""}`;
  const list = document.createElement("dl");
  const add = (name, value) => {
    if (value === "" || value === null || value === undefined) return;
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = name;
    if (value instanceof Node) told.append(value);
    else told.textContent = value;
    list.append(term, told);
  };
  add("score", told(row.score, 4));
  add("parameters, FLOPs", row.parameters === null ? "" : `${large(row.parameters)}, ${large(row.flops)}`);
  add("epochs, seconds", `${row.epochs}, ${told(row.seconds, 1)}`);
  add("operator", row.operator);
  if (row.parents.length) {
    const parents = document.createElement("span");
    row.parents.forEach((parent) => {
      const link = document.createElement("a");
      link.href = "#family";
      link.textContent = `#${parent}`;
      link.addEventListener("click", (event) => { event.preventDefault(); choose(parent); });
      parents.append(link, "  ");
    });
    add("parents", parents);
    add(`from #${row.parents[0]}`, row.changed);
  }
  add("network", row.architecture);
  add("genes", row.genes);
  place.append(title, list);
  document.querySelectorAll("#candidates tbody tr").forEach((line) => {
    line.classList.toggle("chosen", line.dataset.number === String(number));
  });
}

function see(number) {
  choose(number);
  document.getElementById("chosen").scrollIntoView({ block: "center" });
}

// Those that are empty in every row are left out.
let COLUMNS = [
  ["rank", "number"], ["number", "number"], ["state", ""], ["score", "number"], ["epochs", "number"], ["parameters", "number"],
  ["flops", "number"], ["seconds", "number"], ["operator", ""], ["from", ""], ["architecture", "text"], ["reason", "text"],
];
let order = { column: "rank", up: true };

function fill() {
  const words = document.getElementById("words").value.toLowerCase();
  const state = document.getElementById("state").value;
  const rows = facts.candidates.filter((row) =>
    (!state || row.state === state) && (!words || [...COLUMNS.map(([name]) => name), "genes"].some((name) => String(row[name] ?? "").toLowerCase().includes(words))));
  const { column, up } = order;
  rows.sort((one, other) => {
    const [left, right] = [one[column], other[column]];
    if (left === right) return one.rank - other.rank;
    if (left === null || left === "") return 1;
    if (right === null || right === "") return -1;
    return (left < right ? -1 : 1) * (up ? 1 : -1);
  });
  const body = document.querySelector("#candidates tbody");
  body.replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    line.dataset.number = row.number;
    for (const [name, kind] of COLUMNS) {
      const cell = document.createElement("td");
      cell.className = kind;
      const value = row[name];
      cell.textContent = name === "score" ? told(value, 4) : name === "seconds" ? told(value, 1)
        : ["parameters", "flops"].includes(name) ? large(value) : value ?? "";
      line.append(cell);
    }
    line.tabIndex = 0;
    line.addEventListener("click", () => see(row.number));
    line.addEventListener("keydown", (event) => { if (event.key === "Enter") see(row.number); });
    return line;
  }));
  document.getElementById("count").textContent = rows.length ? `${rows.length} of ${facts.candidates.length}` : "none has these words";
  document.querySelectorAll("#candidates thead th").forEach((cell) => {
    if (cell.dataset.column === column) cell.setAttribute("aria-sort", up ? "ascending" : "descending");
    else cell.removeAttribute("aria-sort");
  });
}

// What Python has packed: JSON, compressed, as base64.
async function unpacked(place) {
  const bytes = Uint8Array.from(atob(place.textContent), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

async function begin() {
  if (typeof DecompressionStream === "undefined") {
    document.querySelector(".about").append(" To see the plots and the table, open this page in a browser of 2023 or later.");
    return;
  }
  facts = await unpacked(document.getElementById("facts"));
  facts.candidates.forEach((row) => { row.from = row.parents.map((parent) => `#${parent}`).join(" "); });
  byNumber = new Map(facts.candidates.map((row) => [row.number, row]));
  COLUMNS = COLUMNS.filter(([name]) => facts.candidates.some((row) => row[name] !== "" && row[name] !== null));
  head();
  document.getElementById("words").addEventListener("input", fill);
  document.getElementById("state").addEventListener("input", fill);
  fill();
  for (const [name, figure] of Object.entries(facts.plots)) {
    const place = document.getElementById(`plot-${name}`);
    if (place) draw(place, figure);
  }
  if (facts.best !== null) choose(facts.best);
}

function head() {
  for (const [name, kind] of COLUMNS) {
    const cell = document.createElement("th");
    cell.textContent = name;
    cell.className = kind === "number" ? "number" : "";
    cell.dataset.column = name;
    cell.tabIndex = 0;
    const sort = () => {
      order = { column: name, up: order.column === name ? !order.up : !["score"].includes(name) };
      fill();
    };
    cell.addEventListener("click", sort);
    cell.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    document.querySelector("#candidates thead tr").append(cell);
  }
}

begin();
