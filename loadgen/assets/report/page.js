// The page: reads the embedded runs, decodes their histograms, and puts the sections together.

// The last colour is the floor's.
const COLORS = Array.from({ length: 7 }, (_, i) => `var(--s${i})`);
const FLOOR_COLOR = "var(--s7)";

const embedded = JSON.parse(document.getElementById("data").textContent);

const DEFINITIONS = embedded.definitions;

const state = { all: [], groups: [], alone: null, runs: [], metric: "delivery", logarithmic: true };

function nameOf(run) {
  const base = run.name || run.target.url || `run ${utc(run.started_unix_ns)}`;
  const { round } = run.labels;
  if (round) {
    // The floor runs twice in a round.
    const again = state.all.some((one) => one.base === base && one.run.labels.round === round);
    const when = `round ${round}${again ? ", again" : ""}`;
    return { base, when, name: `${base}, ${when}` };
  }
  const taken = state.all.filter((one) => one.base === base).length;
  return { base, name: taken ? `${base} (${taken + 1})` : base };
}

async function add(run) {
  run.labels ??= {};
  const one = { id: state.all.length, run, ...nameOf(run), shown: true, histograms: {}, columns: null };
  one.color = COLORS[0];
  one.rounds = [one];
  state.all.push(one);
  for (const [name, metric] of Object.entries(run.metrics))
    one.histograms[name] = await decodeHistogram(metric.histogram);
}

// The histograms over time, unpacked when a view first needs them.
async function columnsOf({ run }) {
  const headline = headlineOf(run);
  const columns = [];
  for (const row of rowsOf(run)) {
    const blob = row.histograms[headline];
    if (!blob) continue;
    const [from, to] = [since(run, row.t_ns), since(run, row.t_ns + row.length_ns)];
    columns.push({ from, to, histogram: await decodeHistogram(blob) });
  }
  return columns;
}

// Runs of one name that carry a round are one server's; any other run stands alone.
function group(all) {
  const found = new Map();
  for (const one of all) {
    const key = one.run.labels.round ? "rounds of " + one.base : "run " + one.id;
    found.set(key, [...(found.get(key) ?? []), one]);
  }
  const groups = [...found.values()].map(serverOf);
  groups.sort((a, b) => b.isFloor - a.isFloor);
  let next = 0;
  for (const one of groups) one.color = one.isFloor ? FLOOR_COLOR : COLORS[next++ % COLORS.length];
  return groups;
}

// A server and its rounds. The round whose p99 is the middle one stands for it over time.
function serverOf(rounds) {
  const p99 = ({ run, histograms }) => percentile(histograms[headlineOf(run)], 99) ?? 0;
  const [first] = rounds;
  const chosen = [...rounds].sort((a, b) => p99(a) - p99(b))[(rounds.length - 1) >> 1];
  const names = [...new Set(rounds.flatMap(({ histograms }) => Object.keys(histograms)))];
  const together = (name) =>
    sumOf(rounds.map(({ histograms }) => histograms[name]).filter((histogram) => histogram));
  return {
    ...chosen,
    chosen,
    name: first.run.labels.round ? first.base : first.name,
    rounds,
    isFloor: Boolean(first.run.labels.floor),
    shown: state.groups.find((known) => known.rounds[0] === first)?.shown ?? true,
    histograms:
      rounds.length === 1
        ? first.histograms
        : Object.fromEntries(names.map((name) => [name, together(name)])),
  };
}

// Decides what is shown, and unpacks what that needs.
async function choose() {
  state.groups = group(state.all);
  state.runs = state.alone ? [state.alone] : state.groups;
  for (const one of state.runs) {
    const source = one.chosen ?? one;
    one.columns = source.columns ??= await columnsOf(source);
  }
  if (!state.runs.some(({ histograms }) => histograms[state.metric]))
    state.metric = headlineOf(state.runs[0].run) ?? state.metric;
  render();
}

// `#run-3` is the fourth run alone, `#all` all of them; any other fragment is a place in the page.
async function follow() {
  const wanted = /^#run-(\d+)$/.exec(location.hash);
  if (!wanted && !["", "#all"].includes(location.hash)) return;
  const alone = (wanted && state.all.length > 1 && state.all[wanted[1]]) || null;
  if (alone === state.alone) return;
  state.alone = alone;
  await choose();
  scrollTo({ top: 0, behavior: "instant" });
}

async function copy(text, button) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without clipboard rights (a page from disk in some browsers) the old way still works.
    const area = el("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = said), 1500);
}

function save(name, text) {
  const link = el("a", {
    href: URL.createObjectURL(new Blob([text])),
    download: name.replace(/[^\w.()-]+/g, "-"),
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function open(files) {
  for (const file of files) {
    try {
      await add(JSON.parse(await file.text()));
    } catch (error) {
      alert(`${file.name} is not a run written by --json: ${error.message}`);
    }
  }
  state.alone = null;
  await choose();
}

// The sections of a page with one run, and of one with several.
const ALONE = [
  objectives,
  storm,
  latency,
  percentileTable,
  heat,
  events,
  throughput,
  fairness,
  integrity,
  publishing,
  slow,
  connects,
  server,
  setup,
  words,
];
const SIDES = [
  (_, redraw) => comparison(redraw),
  latency,
  timeToLast,
  costs,
  percentileTable,
  heat,
  fairness,
  integrity,
  publishing,
  objectives,
  storm,
  slow,
  connects,
  runList,
  setup,
  words,
];

// What the contents call each section.
const CONTENTS = {
  compare: "Side by side",
  latency: "Latency",
  last: "To the last",
  costs: "Cost",
  percentiles: "Percentiles",
  time: "Over time",
  events: "Events",
  throughput: "Rate",
  fairness: "Fairness",
  integrity: "Integrity",
  publishing: "Publishing",
  storm: "Storm",
  slow: "Slow readers",
  connects: "Connecting",
  server: "Server",
  objectives: "Objectives",
  runs: "Every run",
  setup: "Setup",
  words: "Words",
};

function render() {
  const kept = document.activeElement?.dataset?.keep;
  document.getElementById("top").replaceChildren(...heading());
  const sections = (single(state) ? ALONE : SIDES).map((draw) => draw(state, render)).filter(Boolean);
  const main = document.getElementById("main");
  main.replaceChildren(...sections);
  main.removeAttribute("aria-busy");
  document.getElementById("contents").replaceChildren(
    ...sections.map((node) =>
      el(
        "a",
        { href: "#" + node.id },
        CONTENTS[node.id],
      ),
    ),
  );
  document.getElementById("bottom").replaceChildren(
    el(
      "label",
      { class: "file" },
      "Compare with another run…",
      el("input", {
        type: "file",
        accept: ".json",
        multiple: true,
        onchange: (event) => open(event.target.files),
      }),
    ),
    " or drop its .json anywhere on this page. Nothing leaves this computer.",
  );
  if (kept) document.querySelector(`[data-keep="${CSS.escape(kept)}"]`)?.focus({ preventScroll: true });
}

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("drop");
});

document.addEventListener("dragleave", () => document.body.classList.remove("drop"));

document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("drop");
  open(event.dataTransfer.files);
});

async function start() {
  if (typeof DecompressionStream === "undefined") {
    document
      .getElementById("main")
      .replaceChildren(
        el(
          "p",
          {},
          "This browser cannot unpack the histograms (it lacks DecompressionStream, in all browsers since 2023). The text report shows the same figures: downpour-load report.",
        ),
      );
    return;
  }
  for (const run of embedded.runs) await add(run);
  const wanted = /^#run-(\d+)$/.exec(location.hash);
  state.alone = (wanted && state.all.length > 1 && state.all[wanted[1]]) || null;
  await choose();
  addEventListener("hashchange", () => follow());
}

start().catch((error) =>
  document
    .getElementById("main")
    .replaceChildren(el("p", { class: "bad" }, `The report could not be drawn: ${error.message}`)),
);
