// The page: reads the embedded runs, decodes their histograms, and puts the sections together.

const COLORS = Array.from({ length: 8 }, (_, i) => `var(--s${i})`);

const embedded = JSON.parse(document.getElementById("data").textContent);

const DEFINITIONS = embedded.definitions;

const state = { runs: [], metric: "delivery", logarithmic: true };

function nameOf(run) {
  const name = run.name || run.target.url || `run ${utc(run.started_unix_ns)}`;
  const taken = state.runs.filter((one) => one.base === name).length;
  return { base: name, name: taken ? `${name} (${taken + 1})` : name };
}

async function add(run) {
  const one = {
    run,
    ...nameOf(run),
    color: COLORS[state.runs.length % COLORS.length],
    shown: true,
    histograms: {},
    columns: [],
  };
  state.runs.push(one);
  for (const [name, metric] of Object.entries(run.metrics))
    one.histograms[name] = await decodeHistogram(metric.histogram);
  const headline = headlineOf(run);
  for (const row of rowsOf(run)) {
    const blob = row.histograms[headline];
    if (blob)
      one.columns.push({
        from: since(run, row.t_ns),
        to: since(run, row.t_ns + row.length_ns),
        histogram: await decodeHistogram(blob),
      });
  }
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
  render();
}

function render() {
  const kept = document.activeElement?.dataset?.keep;
  document.getElementById("top").replaceChildren(...heading());
  const sections = [
    comparison(render),
    objectives(),
    latency(state, render),
    percentileTable(state),
    heat(state),
    events(state),
    throughput(state),
    fairness(state),
    integrity(state),
    storm(state),
    slow(state),
    connects(state),
    server(state),
    setup(),
    words(),
  ].filter(Boolean);
  const main = document.getElementById("main");
  main.replaceChildren(...sections);
  main.removeAttribute("aria-busy");
  document.getElementById("contents").replaceChildren(
    ...sections.map((node) =>
      el(
        "a",
        { href: "#" + node.id },
        {
          latency: "Latency",
          percentiles: "Percentiles",
          time: "Over time",
          events: "Events",
          throughput: "Rate",
          fairness: "Fairness",
          integrity: "Integrity",
          storm: "Storm",
          slow: "Slow readers",
          connects: "Connecting",
          server: "Server",
          setup: "Setup",
          words: "Words",
          compare: "Side by side",
          objectives: "Objectives",
        }[node.id],
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
  state.metric = headlineOf(state.runs[0].run) ?? state.metric;
  render();
}

start().catch((error) =>
  document
    .getElementById("main")
    .replaceChildren(el("p", { class: "bad" }, `The report could not be drawn: ${error.message}`)),
);
