// The sections of the page. Each is a function from the state to a section element, or null when
// no run has anything to show in it.
//
// state: { runs: [{ run, name, color, dash, shown, histograms, columns }], metric, logarithmic }

const PERCENTILES = [50, 90, 99, 99.9, 99.99];
const meaning = (name) => DEFINITIONS.find((one) => one.name === name);
const headlineOf = (run) => ["delivery", "delivery.relative"].find((name) => run.metrics[name]);
const spanOf = (run, phase) => run.timeline.find((span) => span.phase === phase);
const originOf = (run) => spanOf(run, "measure")?.start_ns ?? 0;
const since = (run, ns) => (ns - originOf(run)) / 1e9;
const shown = (state) => state.runs.filter((one) => one.shown);
const single = (state) => state.runs.length === 1;

function section(id, title, lead, ...content) {
  return el("section", { id, "aria-labelledby": id + "-title" }, el("h2", { id: id + "-title" }, title), lead ? el("p", {}, lead) : null, content);
}

function keyLine(color, dash) {
  return svg("svg", { width: 22, height: 8, "aria-hidden": "true" },
    svg("path", { d: "M0 4H22", style: `stroke:${color};stroke-width:2.4;${dash ? `stroke-dasharray:${dash}` : ""}` }));
}
const keys = (entries) => el("ul", { class: "legend" }, entries.map(([name, color, dash]) => el("li", {}, el("span", { class: "key" }, keyLine(color, dash), name))));
const runKeys = (state) => (single(state) ? null : keys(shown(state).map((one) => [one.name, one.color, null])));
const perRun = (state, read) => shown(state).map((one) => ({ color: one.color, name: single(state) ? "" : one.name, text: read(one) }));

/* Latency: the percentile curve --------------------------------------------- */

const COMPANIONS = {
  delivery: [["delivery.sent", "uncorrected, from the actual send", "5 4", "var(--s1)"], ["delivery.probe", "as the probes saw it", "2 3", "var(--s2)"], ["delivery.user", "to the read in user space", "1.5 3", "var(--s7)"]],
};
const inverse = (percent) => 1 / (1 - percent / 100);

function latency(state, redraw) {
  const available = DEFINITIONS.filter((one) => state.runs.some(({ histograms }) => histograms[one.name]));
  if (!available.length) return null;
  if (!available.some((one) => one.name === state.metric)) state.metric = available[0].name;
  const lines = shown(state).filter(({ histograms }) => histograms[state.metric]).map((one) => ({ ...one, histogram: one.histograms[state.metric], extra: "" }));
  if (single(state)) {
    for (const [name, label, dash, color] of COMPANIONS[state.metric] ?? []) {
      const histogram = state.runs[0].histograms[name];
      if (histogram) lines.push({ name: label, color, dash, histogram, extra: "dash" });
    }
  }
  const most = Math.max(10, ...lines.map(({ histogram }) => histogram.n));
  const x = logScale(1, most);
  const points = lines.map(({ histogram }) => curve(histogram));
  // On a log scale the fastest few would take most of the picture; they meet its lower edge.
  const values = state.logarithmic ? lines.flatMap(({ histogram }) => [valueAt(histogram, 0.1), histogram.max]) : points.flat().map(([, y]) => y).concat(0);
  const floor = single(state) && state.metric === "delivery" ? state.runs[0].run.rig.floor?.p99 : null;
  const y = scaleOver(floor ? values.concat(floor) : values, state.logarithmic);
  const named = [0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999, 99.99999].filter((p) => inverse(p) <= most);
  const stops = named.concat(75, 95, 97.5, 99.5, 99.95).filter((p) => p > 0 && inverse(p) <= most).sort((a, b) => a - b);

  const figure = chart({
    label: `Percentile curve of ${state.metric}`, height: 340, x, y, padRight: 14,
    xShow: (v) => named.find((p) => Math.abs(inverse(p) / v - 1) < 1e-6) + " %",
    xTicks: (n) => named.map(inverse).filter((v, i, all) => all.length <= n || i % 2 === (all.length - 1) % 2),
    yShow: tickTime, yName: state.logarithmic ? "latency, log scale" : "latency", xName: "percentile",
    layers: [
      floor ? ruleLayer(floor, "rig floor p99") : () => null,
      ...lines.map((line, i) => lineLayer(points[i], line.color, line.extra, line.dash)),
    ],
    stops: stops.map(inverse),
    read: (_, i) => ({ lead: `p${stops[i]}`, items: lines.map((line) => ({ color: line.color, name: line.name === state.runs[0].name && single(state) ? state.metric : line.name, text: time(percentile(line.histogram, stops[i])) })) }),
  });
  const choose = el("label", {}, "Latency ", el("select", { onchange: (event) => { state.metric = event.target.value; redraw(); }, "data-keep": "metric" },
    available.map((one) => el("option", { value: one.name, selected: one.name === state.metric }, one.name))));
  const scale = el("span", { class: "group", role: "group", "aria-label": "Scale of the latency axis" },
    [["log", true], ["linear", false]].map(([name, value]) => el("button", { type: "button", "aria-pressed": String(state.logarithmic === value), "data-keep": "scale-" + name, onclick: () => { state.logarithmic = value; redraw(); } }, name)));
  const legend = single(state) ? keys(lines.map((line) => [line.extra ? line.name : state.metric, line.color, line.dash])) : runKeys(state);
  const rows = () => spectrumRows(lines);
  return section("latency", "Latency by percentile", `${state.metric}: ${meaning(state.metric)?.text ?? ""}.`,
    el("div", { class: "bar" }, choose, scale, el("span", { class: "push" }, legend)), figure,
    asTable(["percentile", ...lines.map((line) => line.name)], rows, "Percentile curve"));
}

// The curve as steps of (1/(1-p), value): one point per distinct value, thinned to what can be seen.
function curve(histogram) {
  const points = [[1, histogram.min]];
  let seen = 0;
  let last = 0;
  histogram.values.forEach((value, i) => {
    seen += histogram.counts[i];
    const x = seen < histogram.n ? histogram.n / (histogram.n - seen) : histogram.n;
    if (Math.log(x) - last > 0.012 || seen === histogram.n) {
      points.push([Math.min(x, histogram.n), value]);
      last = Math.log(x);
    }
  });
  return points;
}

function spectrumRows(lines) {
  return [1, 5, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.999].map((p) => [`p${p}`, ...lines.map(({ histogram }) => time(percentile(histogram, p)))])
    .concat([["max", ...lines.map(({ histogram }) => time(histogram.max))]]);
}

/* Percentile table ------------------------------------------------------------ */

function percentileTable(state) {
  const compare = !single(state);
  const rows = compare ? shown(state).filter((one) => one.run.metrics[state.metric]).map((one) => [one, state.metric]) : DEFINITIONS.filter((one) => state.runs[0].run.metrics[one.name]).map((one) => [state.runs[0], one.name]);
  if (!rows.length) return null;
  const head = [compare ? "run" : "latency", ...PERCENTILES.map((p) => "p" + p), "max", "mean", "samples"];
  const values = ([one, name]) => {
    const metric = one.run.metrics[name];
    const histogram = one.histograms[name];
    const cells = PERCENTILES.map((p) => {
      const interval = metric.ci95?.[String(p)];
      const value = histogram ? percentile(histogram, p) : metric.p[String(p)];
      return { text: time(value), note: interval ? span(interval) : null };
    });
    const samples = { text: count(metric.n), note: unknown(metric.n_events) ? null : `${count(metric.n_events)} events` };
    return [...cells, { text: time(metric.max), note: metric.censored ? `${count(metric.censored)} cut` : null }, time(metric.mean), samples];
  };
  const label = ([one, name]) => (compare ? [el("span", { class: "swatch", style: `background:${one.color}` }), one.name] : el("span", { title: meaning(name)?.text }, name));
  const markdown = () => {
    const text = (cell) => (typeof cell === "object" ? cell.text : cell);
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const names = rows.map((row) => (compare ? row[0].name : row[1]).replaceAll("|", "\\|"));
    return [line(head), line(head.map((_, i) => (i ? "---:" : "---"))), ...rows.map((row, i) => line([names[i], ...values(row).map(text)]))].join("\n") + "\n";
  };
  const buttons = el("div", { class: "bar" },
    el("button", { type: "button", onclick: (event) => copy(markdown(), event.target) }, "Copy as Markdown"),
    shown(state).map((one) => [
      one.histograms[state.metric] ? el("button", { type: "button", onclick: () => save(`${one.name}.${state.metric}.hgrm`, hgrm(one.histograms[state.metric])) }, `Save .hgrm${compare ? ` of ${one.name}` : ` of ${state.metric}`}`) : null,
      compare ? null : el("button", { type: "button", onclick: () => save(`${one.name}.json`, JSON.stringify(one.run)) }, "Save .json"),
    ]));
  return section("percentiles", compare ? `Percentiles of ${state.metric}` : "Percentiles",
    "Small figures are 95 % intervals, from a bootstrap over events or intervals, not over deliveries: those of one event share its fate. n/a: fewer than ten samples lie above.",
    table(head, rows.map((row) => [label(row), ...values(row)]), "Percentiles"), buttons);
}

/* Over time ---------------------------------------------------------------------- */

// The rows drawn over time: from the warm-up on, where there is one.
const rowsOf = (run) => run.series.filter((row) => row.phase !== "connect" && row.phase !== "settle");
const endOf = (run) => Math.max(0, ...rowsOf(run).map((row) => since(run, row.t_ns + row.length_ns)));
const beginOf = (run) => Math.min(0, ...rowsOf(run).map((row) => since(run, row.t_ns)));
function timeAxis(runs) {
  return linearScale(Math.min(...runs.map(({ run }) => beginOf(run))), Math.max(...runs.map(({ run }) => endOf(run))));
}
function phases({ run }) {
  const window = spanOf(run, "measure");
  const end = window ? window.length_ns / 1e9 : endOf(run);
  return [shadeLayer(beginOf(run), 0, "warm-up"), shadeLayer(end, endOf(run), "drain"), ...run.marks.map((mark) => markLayer(since(run, mark.t_ns), mark.text))];
}
const middle = (run, row) => since(run, row.t_ns + row.length_ns / 2);

function heat(state) {
  const runs = shown(state).filter((one) => one.columns.length > 1);
  if (!runs.length) return null;
  const name = headlineOf(runs[0].run);
  const values = runs.flatMap(({ columns }) => columns.flatMap(({ histogram }) => [histogram.min, histogram.max]));
  const y = scaleOver(values.map((v) => Math.max(v, 1000)), true);
  const figures = runs.map((one) => {
    const x = timeAxis([one]);
    const stops = one.columns.map(({ from, to }) => (from + to) / 2);
    const line = (p, extra) => lineLayer(one.columns.map(({ from, to, histogram }) => [(from + to) / 2, percentile(histogram, p)]), "var(--s1)", extra);
    return el("div", {}, single(state) ? null : el("h3", {}, one.name), chart({
      label: `Latency over time, ${one.name}`, height: single(state) ? 300 : 230, x, y, xShow: seconds, yShow: tickTime,
      yName: "latency, log scale", xName: "time in the measured window",
      layers: [heatLayer(one.columns), line(50, "dash"), line(99, ""), ...phases(one)], stops,
      read: (_, i) => {
        const { histogram } = one.columns[i];
        const parts = [["p50", percentile(histogram, 50)], ["p99", percentile(histogram, 99)], ["max", histogram.max]];
        return { lead: seconds(stops[i]), items: parts.map(([name, value]) => ({ name, text: time(value) })).concat({ name: "samples", text: count(histogram.n) }) };
      },
    }));
  });
  const rows = () => runs.flatMap((one) => one.columns.map(({ from, histogram }) => [seconds(from), one.name, time(percentile(histogram, 50)), time(percentile(histogram, 99)), time(histogram.max), count(histogram.n)]));
  return section("time", "Latency over time", `Each column is one interval, each cell the number of samples of ${name} in it: the stronger the colour, the more, on a log scale.`,
    el("div", { class: "bar" }, keys([["p50", "var(--s1)", "5 4"], ["p99", "var(--s1)", null]])),
    single(state) ? figures : el("div", { class: "multiples" }, figures),
    asTable(["time", "run", "p50", "p99", "max", "samples"], rows, "Latency over time"));
}

function events(state) {
  const runs = shown(state).filter(({ run }) => run.events?.at_ns.length);
  if (!runs.length) return null;
  const clock = runs.some(({ run }) => run.events.last_ns.some((v) => v !== null));
  const kinds = single(state)
    ? (clock ? [["last_ns", "last", "var(--s1)"], ["half_ns", "half", "var(--s0)"], ["first_ns", "first", "var(--s2)"]] : [["spread_ns", "spread", "var(--s0)"]])
    : [[clock ? "last_ns" : "spread_ns", clock ? "last" : "spread", null]];
  const series = runs.flatMap((one) => kinds.map(([field, name, color]) => ({ one, field, name, color: color ?? one.color, points: one.run.events.at_ns.map((at, i) => [since(one.run, at), one.run.events[field][i]]) })));
  const floor = single(state) ? runs[0].run.rig.bandwidth_floor?.time_ns : null;
  const x = timeAxis(runs);
  const y = scaleOver(series.flatMap(({ points }) => points.map(([, v]) => v)).concat(floor ?? []), state.logarithmic);
  const longest = runs.reduce((a, b) => (a.run.events.at_ns.length >= b.run.events.at_ns.length ? a : b)).run;
  const stride = Math.ceil(longest.events.at_ns.length / 400);
  const stops = longest.events.at_ns.filter((_, i) => i % stride === 0).map((at) => since(longest, at));
  const near = (points, at) => points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), points[0]);
  const missing = runs.map(({ run, name }) => [name, run.events.last_ns.filter((v, i) => v === null && run.events.first_ns[i] !== null).length]).filter(([, n]) => n);
  return section("events", clock ? "Time to the last subscriber" : "Spread of each event",
    clock ? "One dot per event: when its first subscriber had it, half of them, and the last one, from the planned publish time." : "One dot per event: from its first arrival at any subscriber to its last. No publisher's clock is needed for that.",
    el("div", { class: "bar" }, single(state) ? keys(series.map((one) => [one.name, one.color, null])) : runKeys(state)),
    chart({
      label: "Times of each event", x, y, xShow: seconds, yShow: tickTime, yName: (single(state) ? "per event" : kinds[0][1] + ", per event") + (state.logarithmic ? ", log scale" : ""), xName: "time in the measured window",
      layers: [...phases(runs[0]), ...series.map(({ points, color }) => dotLayer(points, color)), floor ? ruleLayer(floor, "link floor") : () => null],
      stops,
      read: (at) => ({ lead: seconds(at), items: series.map(({ one, name, color, points }) => ({ color, name: single(state) ? name : one.name, text: time(near(points, at)[1]) })) }),
    }),
    missing.map(([name, n]) => el("p", {}, `${single(state) ? "" : name + ": "}${count(n)} of the events drawn never reached all of their subscribers; they have no last.`)),
    asTable(["run", "event at", "first", "half", "last", "spread", "received"], () => runs.flatMap(({ run, name }) => run.events.at_ns.slice(0, 500).map((at, i) => [name, seconds(since(run, at)), ...["first_ns", "half_ns", "last_ns", "spread_ns"].map((field) => time(run.events[field][i])), count(run.events.received[i])])), "Events, the first 500"));
}

// A chart of one figure per interval, a line per run.
function overTime(state, spec) {
  // With several runs, one line each; the second kind of line would only tangle them.
  if (!single(state)) spec = { ...spec, lines: spec.lines.slice(0, 1) };
  const runs = shown(state).filter(({ run }) => rowsOf(run).some((row) => spec.lines.some((line) => !unknown(line.read(row)))));
  if (!runs.length) return null;
  const lines = runs.flatMap((one) => spec.lines.map((line, i) => ({ ...line, one, color: single(state) ? `var(--s${i})` : one.color, points: rowsOf(one.run).map((row) => [middle(one.run, row), line.read(row)]) })))
    .filter(({ points }) => points.some(([, y]) => !unknown(y)));
  const longest = runs.reduce((a, b) => (rowsOf(a.run).length >= rowsOf(b.run).length ? a : b)).run;
  const stops = rowsOf(longest).map((row) => middle(longest, row));
  const near = (points, at) => points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), points[0]);
  const name = (line) => (single(state) ? line.name : line.one.name);
  return el("div", {}, spec.title ? el("h3", {}, spec.title) : null,
    lines.length > 1 && spec.title ? el("div", { class: "bar" }, keys(lines.map((line) => [name(line), line.color, null]))) : null,
    chart({
      label: spec.label, height: 210, x: timeAxis(runs), y: scaleOver(lines.flatMap(({ points }) => points.map(([, v]) => v)), false),
      xShow: seconds, yShow: spec.tick, yTicks: spec.ticks, yName: spec.yName, xName: "time in the measured window",
      layers: [...phases(runs[0]), ...lines.map(({ points, color }) => lineLayer(points, color))], stops,
      read: (at) => ({ lead: seconds(at), items: lines.map((line) => ({ color: line.color, name: name(line), text: spec.show(near(line.points, at)[1]) })) }),
    }),
    asTable(["time", ...lines.map(name)], () => stops.map((at) => [seconds(at), ...lines.map(({ points }) => spec.show(near(points, at)[1]))]), spec.label));
}

function throughput(state) {
  const chartNode = overTime(state, { label: "Deliveries per second", yName: "deliveries per second", show: rate, tick: tickRate, lines: [{ name: "deliveries", read: (row) => (row.deliveries * 1e9) / Math.max(1, row.length_ns) }] });
  return chartNode && section("throughput", "Deliveries per second", "What arrived at all subscribers together.", el("div", { class: "bar" }, runKeys(state)), chartNode);
}

function server(state) {
  const charts = [
    overTime(state, { title: single(state) ? "CPU" : "CPU cores of the server", label: "CPU over time", yName: single(state) ? "cores; share of a core" : "cores", show: plain, tick: tickPlain, lines: [{ name: "server, cores", read: (row) => row.server_cpu }, { name: "busiest load generator thread", read: (row) => row.client_cpu }] }),
    overTime(state, { title: "Memory of the server's process", label: "Memory of the process over time", yName: "bytes", show: bytes, tick: tickBytes, ticks: binaryTicks, lines: [{ name: "server process", read: (row) => row.server_pss_bytes }] }),
    overTime(state, { title: "Sockets in the kernel of its machine", label: "Kernel memory of sockets over time", yName: "bytes", show: bytes, tick: tickBytes, ticks: binaryTicks, lines: [{ name: "sockets", read: (row) => row.server_kernel_bytes }] }),
  ].filter(Boolean);
  const measured = shown(state).filter(({ run }) => run.server);
  const rows = [
    ["CPU per delivery", (s) => time(s.cpu_per_delivery_ns)], ["of it in the kernel", (s) => percent(s.cpu_ns.sys / Math.max(1, s.cpu_ns.user + s.cpu_ns.sys))],
    ["cores busy", (s) => plain(s.cores)], ["softirq on its machine, cores", (s) => plain(s.softirq_cores)],
    ["user memory per connection", (s) => bytes(s.mem_per_conn.pss)], ["kernel memory per connection", (s) => bytes(s.mem_per_conn.kernel)], ["process memory", (s) => bytes(s.pss_bytes)],
    ["open descriptors", (s) => count(s.fds)], ["listen overflows", (s) => count(s.net.listen_overflows)], ["segments sent again", (s) => count(s.net.retrans)], ["backlog drops", (s) => count(s.net.backlog_drop)],
  ];
  if (!charts.length && !measured.length) return null;
  return section("server", "Cost on the server", measured.length ? "CPU time of all its threads, kernel included, over the measured window. Memory in two figures, because the resident set of a process hides its sockets." : "The server's process was not observed; this is the load generator alone.",
    el("div", { class: "two" }, charts),
    measured.length ? table(["", ...measured.map(({ name }) => name)], rows.map(([name, read]) => [name, ...measured.map(({ run }) => read(run.server))]), "Cost on the server") : null);
}

/* Fairness, integrity, connects ----------------------------------------------------- */

const POSITION = orNone((rho) => `${rho > 0 ? "+" : rho < 0 ? "−" : ""}${Math.abs(rho).toFixed(2)}`);

function fairness(state) {
  const runs = shown(state).filter(({ run }) => run.fairness);
  if (!runs.length) return null;
  const points = runs.map(({ run }) => run.fairness.by_order);
  const longest = points.reduce((a, b) => (a.length >= b.length ? a : b));
  const last = Math.max(1, ...points.flat().map((p) => p.order + p.subscribers));
  const near = (list, at) => list.reduce((best, p) => (Math.abs(p.order - at) < Math.abs(best.order - at) ? p : best), list[0]);
  const rows = [
    ["Jain's index (1 = all alike)", (f) => f.jain.toFixed(3)], ["slowest over fastest mean", (f) => plain(f.mean_ratio)], ["position bias (+1: earlier connected is earlier served)", (f) => POSITION(f.position_rho)],
    ["events whose last receiver is one of the same 1 %", (f) => percent(f.last_share_top_percent)], ["subscribers that received nothing", (f) => count(f.silent)],
  ];
  return section("fairness", "Fairness", "Mean latency of each subscriber against its place in the connect order. A slope means that the server always serves the same ones first.",
    el("div", { class: "bar" }, runKeys(state)),
    points.some((list) => list.length > 1) ? chart({
      label: "Mean latency against connect order", height: 250, x: linearScale(0, last), y: scaleOver(points.flat().flatMap((p) => [p.min_ns, p.max_ns]), false), xShow: short, yShow: tickTime, yName: "mean latency", xName: "connect order",
      layers: runs.flatMap((one, i) => [bandLayer(points[i].map((p) => [p.order, p.min_ns, p.max_ns]), one.color), lineLayer(points[i].map((p) => [p.order, p.mean_ns]), one.color)]),
      stops: longest.filter((_, i) => i % Math.ceil(longest.length / 400) === 0).map((p) => p.order),
      read: (at) => ({ lead: `subscriber ${count(at)}`, items: runs.map((one, i) => ({ color: one.color, name: single(state) ? "mean" : one.name, text: time(near(points[i], at).mean_ns) })) }),
    }) : null,
    table(["", ...runs.map(({ name }) => name)], rows.map(([name, read]) => [name, ...runs.map(({ run }) => read(run.fairness))]), "Fairness"),
    single(state) && runs[0].run.fairness.worst.length ? el("details", {}, el("summary", {}, "The slowest subscribers"),
      table(["connected as", "deliveries", "mean", "max"], runs[0].run.fairness.worst.map((w) => [`no. ${count(w.order + 1)}`, count(w.n), time(w.mean_ns), time(w.max_ns)]), "The slowest subscribers")) : null);
}

// Name, meaning, whether it is a fault, and whether it is worth a row when it is zero everywhere.
const COUNTERS = [
  ["lost", "due, and not received within the horizon", true, true], ["duplicate", "received again by the same subscriber", true, true], ["out_of_order", "received after a later event of its stream", true, true],
  ["corrupt", "checksum does not hold", true, true], ["malformed", "streams that broke HTTP or the event stream format", true, true], ["incomplete_events", "events that some subscriber never got", true, true],
  ["late", "received after the horizon", true, false], ["foreign", "events without a stamp of this run", false, false], ["gaps_announced", "gaps the server itself announced", false, false],
  ["ambiguous", "subscriber was just connecting: neither due nor lost", false, false], ["in_flight", "still inside the horizon at the end", false, false],
];

function integrity(state) {
  const runs = shown(state);
  const row = (name, note, read, bad) => [[name, el("small", { class: "beside" }, note)], ...runs.map(({ run }) => {
    const value = read(run.counts);
    return unknown(value) ? el("span", { class: "none" }, "unknown") : { text: count(value), class: bad && value > 0 ? "bad" : null };
  })];
  const rows = [row("expected", "each event's confirmed subscribers", (c) => c.expected), row("unique", "received, each once", (c) => c.unique), ...COUNTERS.filter(([key, , , always]) => always || runs.some(({ run }) => run.counts[key])).map(([key, note, bad]) => row(key.replaceAll("_", " "), note, (c) => c[key], bad))];
  const reasons = [...new Set(runs.flatMap(({ run }) => Object.keys(run.counts.disconnects)))];
  for (const reason of reasons) rows.push(row("disconnected", reason, (c) => c.disconnects[reason] ?? 0, true));
  const faulty = runs.filter(({ run }) => rowsOf(run).some((r) => r.lost || r.duplicate || r.out_of_order));
  const kinds = [["lost", "var(--s4)"], ["duplicate", "var(--s6)"], ["out_of_order", "var(--s3)"]];
  const charts = faulty.map((one) => el("div", {}, single(state) ? null : el("h3", {}, one.name),
    el("div", { class: "bar" }, keys(kinds.map(([name, color]) => [name.replaceAll("_", " "), color]))),
    chart({
      label: `Faults over time, ${one.name}`, height: 170, x: timeAxis([one]), y: scaleOver(rowsOf(one.run).flatMap((r) => kinds.map(([name]) => r[name])), false), xShow: seconds, yShow: short, yName: "per interval", xName: "time in the measured window",
      layers: [...phases(one), ...kinds.map(([name, color], i) => barLayer(rowsOf(one.run).map((r) => {
        const [from, width] = [since(one.run, r.t_ns), r.length_ns / 1e9 / kinds.length];
        return [from + i * width, from + (i + 1) * width, r[name]];
      }), color))],
      stops: rowsOf(one.run).map((r) => middle(one.run, r)),
      read: (at, i) => ({ lead: seconds(at), items: kinds.map(([name, color]) => ({ color, name: name.replaceAll("_", " "), text: count(rowsOf(one.run)[i][name]) })) }),
    })));
  return section("integrity", "Integrity", "Every event carries a number, and every subscriber is held to every number. Unknown means that this run could not know.", charts,
    table(["", ...runs.map(({ name }) => name)], rows, "Integrity"));
}

function connects(state) {
  const runs = shown(state).filter(({ run }) => run.ramp.length > 1);
  // Side by side, what a subscriber waits for is enough.
  const whole = ["connect.ready", "connect.first_event", "reconnect.recover"];
  const rows = DEFINITIONS.filter((one) => one.per === "connection" && (single(state) || whole.includes(one.name))).flatMap((one) => shown(state).filter(({ histograms }) => histograms[one.name]).map((r) => [single(state) ? el("span", { title: one.text }, one.name) : `${one.name}, ${r.name}`, ...[50, 90, 99, 99.9].map((p) => time(percentile(r.histograms[one.name], p))), time(r.histograms[one.name].max)]));
  const failures = shown(state).flatMap(({ run, name }) => {
    const e = run.connect.errors;
    const parts = [["refused", e.refused], ["reset", e.reset], ["timed out", e.timeout], ["not an event stream", e.mime], ["closed early", e.closed], ["local error", e.local], ...Object.entries(e.status).map(([code, n]) => [`status ${code}`, n])].filter(([, n]) => n);
    return parts.length ? [`${single(state) ? "Failed" : name}: ${parts.map(([what, n]) => `${what} ${count(n)}`).join(", ")}.`] : [];
  });
  if (!runs.length && !rows.length) return null;
  const x = runs.length ? linearScale(0, Math.max(...runs.flatMap(({ run }) => run.ramp.map((p) => p.t_ns / 1e9)))) : null;
  const lines = runs.flatMap((one) => [
    { one, name: "up", color: one.color, extra: "", read: (p) => p.up },
    { one, name: "planned", color: single(state) ? "var(--s7)" : one.color, extra: "dash", read: (p) => p.planned },
    one.run.ramp.some((p) => p.failed) ? { one, name: "failed", color: "var(--s4)", extra: "", read: (p) => p.failed } : null,
  ]).filter((line) => line && line.one.run.ramp.some((p) => !unknown(line.read(p))));
  const longest = runs.reduce((a, b) => (!a || b.run.ramp.length > a.run.ramp.length ? b : a), null);
  const near = (list, at) => list.reduce((best, p) => (Math.abs(p.t_ns / 1e9 - at) < Math.abs(best.t_ns / 1e9 - at) ? p : best), list[0]);
  const ups = shown(state).map(({ run, name }) => `${single(state) ? "" : name + ": "}${count(run.connect.up)} of ${count(run.connect.asked)} up${unknown(run.connect.length_ns) ? "" : ` in ${time(run.connect.length_ns)}`}${unknown(run.connect.syn_retrans) || !run.connect.syn_retrans ? "" : `, ${count(run.connect.syn_retrans)} SYN sent again`}`);
  return section("connects", "Connecting", ups.join("; ") + ".",
    el("div", { class: "bar" }, single(state) ? keys(lines.map((l) => [l.name, l.color, l.extra ? "5 4" : null])) : runKeys(state)),
    runs.length ? chart({
      label: "Connections over time", height: 230, x, y: scaleOver(lines.flatMap((line) => line.one.run.ramp.map(line.read)), false), xShow: (v) => tickTime(v * 1e9), yShow: short, yName: "connections", xName: "time since the start",
      layers: lines.map((line) => lineLayer(line.one.run.ramp.map((p) => [p.t_ns / 1e9, line.read(p)]), line.color, line.extra)),
      stops: longest.run.ramp.map((p) => p.t_ns / 1e9),
      read: (at) => ({ lead: seconds(at), items: lines.map((line) => ({ color: line.color, name: single(state) ? line.name : `${line.one.name}, ${line.name}`, text: count(line.read(near(line.one.run.ramp, at))) })) }),
    }) : null,
    failures.map((text) => el("p", { class: "bad" }, text)),
    rows.length ? table(["", "p50", "p90", "p99", "p99.9", "max"], rows, "Latency of connecting") : null);
}

/* Special populations: a storm, slow readers ------------------------------------------- */

function storm(state) {
  const runs = shown(state).filter(({ run }) => run.storm);
  if (!runs.length) return null;
  const never = (ns) => (unknown(ns) ? "never" : time(ns));
  const rows = runs.flatMap(({ run, name }) => run.storm.waves.map((wave, i) => [single(state) ? `wave ${i + 1}` : `${name}, wave ${i + 1}`, count(wave.dropped), { text: count(wave.back), class: wave.back < wave.dropped ? "bad" : null }, never(wave.back_50_ns), never(wave.back_99_ns), never(wave.back_all_ns)]));
  const proof = runs.map(({ run, name }) => [name, unknown(run.storm.replay_gap) ? "unknown" : { text: count(run.storm.replay_gap), class: run.storm.replay_gap ? "bad" : null }, unknown(run.storm.replay_duplicate) ? "unknown" : count(run.storm.replay_duplicate)]);
  return section("storm", "Reconnect storm", "Connections were dropped at once and came back as clients do, each from the last event it had seen.",
    table(["", "dropped", "back", "half after", "99 % after", "all after"], rows, "Waves of the storm"),
    table(["", "missing without notice", "received twice"], proof, "What was missing across the cut"));
}

function slow(state) {
  const runs = shown(state).filter(({ run }) => run.slow);
  if (!runs.length) return null;
  const rows = [
    ["slow subscribers", (s) => count(s.subscribers)], ["each reads", (s) => (s.read_bytes_per_second ? bytes(s.read_bytes_per_second) + "/s" : "nothing")],
    ["p99 of the others, times", (s) => plain(s.isolation)], ["cut by the server", (s) => count(s.cut)], ["median time until then", (s) => time(s.cut_after_ns)], ["unread in this machine's buffers", (s) => bytes(s.unread_bytes)],
  ];
  return section("slow", "Slow readers", "A part of the subscribers read slowly or not at all. The others should not notice.",
    table(["", ...runs.map(({ name }) => name)], rows.map(([name, read]) => [name, ...runs.map(({ run }) => read(run.slow))]), "Slow readers"));
}
