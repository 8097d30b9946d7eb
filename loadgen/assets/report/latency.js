// Latency: the percentile curve and the table of percentiles.

const PERCENTILES = [50, 90, 99, 99.9, 99.99];

// The marks of the percentile axis.
const NAMED_PERCENTILES = [0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999, 99.99999];

// What stands beside a metric when there is a single run: metric, words, dashes, colour.
const COMPANIONS = {
  delivery: [
    ["delivery.sent", "uncorrected, from the actual send", "5 4", "var(--s1)"],
    ["delivery.probe", "as the probes saw it", "2 3", "var(--s2)"],
    ["delivery.user", "to the read in user space", "1.5 3", "var(--s7)"],
  ],
};

const inverse = (percent) => 1 / (1 - percent / 100);

function latency(state, redraw) {
  const available = DEFINITIONS.filter((one) => state.runs.some(({ histograms }) => histograms[one.name]));
  if (!available.length) return null;
  if (!available.some((one) => one.name === state.metric)) state.metric = available[0].name;
  const lines = linesOf(state, state.metric);
  const legend = single(state)
    ? keys(lines.map((line) => [line.label, line.color, line.dash]))
    : runKeys(state);
  return section(
    "latency",
    "Latency by percentile",
    `${state.metric}: ${meaning(state.metric)?.text ?? ""}.`,
    el(
      "div",
      { class: "bar" },
      metricChoice(state, available, redraw),
      scaleChoice(state, redraw),
      el("span", { class: "push" }, legend),
    ),
    percentileCurve(state, state.metric, lines),
    asTable(
      ["percentile", ...lines.map((line) => line.label)],
      () => spectrumRows(lines),
      "Percentile curve",
    ),
  );
}

// Until everybody has an event, of all servers; a single run shows its events one by one instead.
function timeToLast(state) {
  const lines = linesOf(state, "last");
  if (!lines.length) return null;
  return section(
    "last",
    "Time to the last subscriber",
    "last: from the planned publish time until every subscriber due has the event. One sample is one event, so the tail is coarser than above.",
    el("div", { class: "bar" }, runKeys(state)),
    percentileCurve(state, "last", lines),
    asTable(["percentile", ...lines.map((line) => line.label)], () => spectrumRows(lines), "Time to the last"),
  );
}

// One line per server; a single run's metric is accompanied by its variants.
function linesOf(state, metric) {
  const lines = shown(state)
    .filter(({ histograms }) => histograms[metric])
    .map((one) => ({
      label: single(state) ? metric : one.name,
      color: one.color,
      dash: dashOf(one),
      histogram: one.histograms[metric],
    }));
  const companions = single(state) ? (COMPANIONS[metric] ?? []) : [];
  for (const [name, label, dash, color] of companions) {
    const histogram = state.runs[0].histograms[name];
    if (histogram) lines.push({ label, color, dash, histogram });
  }
  return lines;
}

function percentileCurve(state, metric, lines) {
  const points = lines.map(({ histogram }) => curve(histogram));
  const most = Math.max(10, ...lines.map(({ histogram }) => histogram.n));
  const floor = single(state) && metric === "delivery" ? state.runs[0].run.rig.floor?.p99 : null;
  // On a log scale the fastest few would take most of the picture; they meet its lower edge.
  const values = lines.flatMap(({ histogram }) => [
    state.logarithmic ? valueAt(histogram, 0.1) : 0,
    histogram.max,
  ]);
  const named = NAMED_PERCENTILES.filter((p) => inverse(p) <= most);
  const stops = named
    .concat(75, 95, 97.5, 99.5, 99.95)
    .filter((p) => p > 0 && inverse(p) <= most)
    .sort((a, b) => a - b);
  return chart({
    label: `Percentile curve of ${metric}`,
    height: 340,
    x: logScale(1, most),
    y: scaleOver(values.concat(floor ?? []), state.logarithmic),
    padRight: 14,
    xShow: (v) => named.find((p) => Math.abs(inverse(p) / v - 1) < 1e-6) + " %",
    xTicks: (n) =>
      named.map(inverse).filter((v, i, all) => all.length <= n || i % 2 === (all.length - 1) % 2),
    yShow: tickTime,
    yName: state.logarithmic ? "latency, log scale" : "latency",
    xName: "percentile",
    layers: [
      floor ? ruleLayer(floor, "rig floor p99") : () => null,
      ...lines.map((line, i) => lineLayer(points[i], line.color, line.dash ? "dash" : "", line.dash)),
    ],
    stops: stops.map(inverse),
    read: (_, i) => ({
      lead: `p${stops[i]}`,
      items: lines.map(({ label, color, histogram }) => ({
        color,
        name: label,
        text: time(percentile(histogram, stops[i])),
      })),
    }),
  });
}

function metricChoice(state, available, redraw) {
  const choose = (event) => {
    state.metric = event.target.value;
    redraw();
  };
  const option = ({ name }) => el("option", { value: name, selected: name === state.metric }, name);
  return el(
    "label",
    {},
    "Latency ",
    el("select", { onchange: choose, "data-keep": "metric" }, available.map(option)),
  );
}

function scaleChoice(state, redraw) {
  const button = (name, logarithmic) => {
    const choose = () => {
      state.logarithmic = logarithmic;
      redraw();
    };
    const pressed = String(state.logarithmic === logarithmic);
    return el(
      "button",
      { type: "button", "aria-pressed": pressed, "data-keep": "scale-" + name, onclick: choose },
      name,
    );
  };
  const attributes = { class: "group", role: "group", "aria-label": "Scale of the latency axis" };
  return el("span", attributes, button("log", true), button("linear", false));
}

// The curve as steps of (1/(1-p), value): one point per distinct value, thinned to what can be seen.
function curve(histogram) {
  const points = [[1, histogram.min]];
  let seen = 0;
  let last = 0;
  histogram.values.forEach((value, i) => {
    seen += histogram.counts[i];
    const x = seen < histogram.n ? histogram.n / (histogram.n - seen) : histogram.n;
    // The largest but one lies where the largest does; the curve ends in the largest.
    if (seen < histogram.n && x >= histogram.n) return;
    if (Math.log(x) - last > 0.012 || seen === histogram.n) {
      points.push([Math.min(x, histogram.n), value]);
      last = Math.log(x);
    }
  });
  return points;
}

function spectrumRows(lines) {
  return [1, 5, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.999]
    .map((p) => [`p${p}`, ...lines.map(({ histogram }) => time(percentile(histogram, p)))])
    .concat([["max", ...lines.map(({ histogram }) => time(histogram.max))]]);
}

function percentileTable(state) {
  const compare = !single(state);
  const rows = compare
    ? shown(state)
        .filter(({ histograms }) => histograms[state.metric])
        .map((one) => [one, state.metric])
    : DEFINITIONS.filter(({ name }) => state.runs[0].run.metrics[name]).map(({ name }) => [
        state.runs[0],
        name,
      ]);
  if (!rows.length) return null;
  const head = [compare ? "run" : "latency", ...PERCENTILES.map((p) => "p" + p), "max", "mean", "samples"];
  const label = ([one, name]) =>
    compare
      ? [el("span", { class: "swatch", style: `background:${one.color}` }), one.name]
      : el("span", { title: meaning(name)?.text }, name);
  const markdown = () =>
    asMarkdown(
      head,
      rows.map((row) => [compare ? row[0].name : row[1], ...metricCells(...row)]),
    );
  return section(
    "percentiles",
    compare ? `Percentiles of ${state.metric}` : "Percentiles",
    state.runs.some(({ rounds }) => rounds.length > 1)
      ? "Of the samples of all rounds together; small: the lowest and the highest round. n/a: fewer than ten samples lie above."
      : "Small figures are 95 % intervals, from a bootstrap over events or intervals, not over deliveries: those of one event share its fate. n/a: fewer than ten samples lie above.",
    table(
      head,
      rows.map((row) => [label(row), ...metricCells(...row)]),
      "Percentiles",
    ),
    el(
      "div",
      { class: "bar" },
      el(
        "button",
        { type: "button", onclick: (event) => copy(markdown(), event.target) },
        "Copy as Markdown",
      ),
      shown(state).map((one) => saveButtons(state, one)),
    ),
  );
}

function metricCells(one, name) {
  return one.rounds.length > 1 ? roundsCells(one, name) : runCells(one, name);
}

// Of all rounds together. An interval would say how one run differs from itself, not from the next:
// that is what the rounds show, so the small figures are those of the lowest and the highest round.
function roundsCells({ rounds, histograms }, name) {
  const histogram = histograms[name];
  const cells = PERCENTILES.map((p) => {
    const values = rounds.map((entry) => percentile(entry.histograms[name], p)).filter((v) => !unknown(v));
    return {
      text: time(percentile(histogram, p)),
      note: values.length > 1 ? span([Math.min(...values), Math.max(...values)]) : null,
    };
  });
  return [...cells, time(histogram.max), time(histogram.mean), count(histogram.n)];
}

function runCells({ run, histograms }, name) {
  const metric = run.metrics[name];
  const histogram = histograms[name];
  const cells = PERCENTILES.map((p) => {
    const interval = metric.ci95?.[String(p)];
    return { text: time(percentile(histogram, p)), note: interval ? span(interval) : null };
  });
  const events = unknown(metric.n_events) ? null : `${count(metric.n_events)} events`;
  return [
    ...cells,
    { text: time(metric.max), note: metric.censored ? `${count(metric.censored)} cut` : null },
    time(metric.mean),
    { text: count(metric.n), note: events },
  ];
}

function asMarkdown(head, rows) {
  const text = (cell) => (typeof cell === "object" ? cell.text : cell).replaceAll("|", "\\|");
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, i) => (i ? "---:" : "---"));
  return [head, rule, ...rows.map((row) => row.map(text))].map(line).join("\n") + "\n";
}

function saveButtons(state, { name, run, histograms }) {
  const histogram = histograms[state.metric];
  const button = (label, action) => el("button", { type: "button", onclick: action }, label);
  return [
    histogram
      ? button(`Save .hgrm of ${single(state) ? state.metric : name}`, () =>
          save(`${name}.${state.metric}.hgrm`, hgrm(histogram)),
        )
      : null,
    single(state) ? button("Save .json", () => save(`${name}.json`, JSON.stringify(run))) : null,
  ];
}
