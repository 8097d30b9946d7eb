// The top of the page: verdict, figures in large, runs side by side, objectives.

function plan(run) {
  const p = run.plan;
  const size = p.size
    ? ` × ${bytes(p.size.min_bytes)}${p.size.max_bytes > p.size.min_bytes ? ` to ${bytes(p.size.max_bytes)}` : ""}`
    : "";
  const rates = p.rate.map(([, r]) => r);
  const load = rates.length
    ? `${short(rates[0])}${rates.length > 1 ? ` to ${short(rates[rates.length - 1])}` : ""} events/s ${p.arrival ?? ""}${size}`
    : "publishes nothing";
  const topics = `${count(p.topics)} topic${p.topics === 1 ? "" : "s"}`;
  return `${count(p.subscribers)} subscribers · ${load}, ${topics} · ${length(p.phases.measure_ns)}${p.phases.warmup_ns ? ` after ${length(p.phases.warmup_ns)} warm-up` : ""}`;
}

function verdict(one) {
  const { status, reasons } = one.run.verdict;
  const says = {
    valid: "Nothing speaks against this measurement.",
    suspect: "The figures hold, with reservations.",
    invalid: "The figures describe the rig or a broken run, not the server.",
  }[status];
  return el(
    "div",
    { class: `verdict ${status}`, role: "note" },
    el(
      "p",
      {},
      el("span", { class: `word ${status}` }, status.toUpperCase()),
      single(state) ? " " : ` ${one.name}. `,
      says,
      one.run.interrupted ? " The run was interrupted; objectives were not judged." : "",
    ),
    reasons.length
      ? el(
          "ul",
          {},
          reasons.map((reason) => el("li", {}, el("code", {}, reason.code), " ", reason.text)),
        )
      : null,
  );
}

function heading() {
  const first = state.runs[0].run;
  const title = single(state) ? state.runs[0].name : `${state.runs.length} runs compared`;
  const plans = [...new Set(state.runs.map(({ run }) => plan(run)))];
  const verdicts = single(state) ? [verdict(state.runs[0])] : sameVerdict();
  return [
    el(
      "p",
      { class: "made" },
      `${first.tool.name} ${first.tool.version} · ${utc(first.started_unix_ns)}${first.target.loopback ? " · loopback" : ""}`,
    ),
    el("h1", {}, title),
    el(
      "p",
      { class: "plan" },
      plans.length === 1 ? plans[0] : "The plans differ: see below before comparing.",
    ),
    verdicts,
    single(state) ? tiles(state.runs[0]) : null,
  ]
    .flat()
    .filter(Boolean);
}

// Runs of one kind usually share their reservations: then one banner speaks for all.
function sameVerdict() {
  const key = ({ run }) => JSON.stringify([run.verdict, run.interrupted]);
  const groups = new Map();
  for (const one of state.runs) groups.set(key(one), [...(groups.get(key(one)) ?? []), one]);
  return [...groups.values()].map((group) =>
    verdict({
      run: group[0].run,
      name: group.length === state.runs.length ? "All runs alike" : group.map((one) => one.name).join(", "),
    }),
  );
}

function tiles(one) {
  const { run, histograms } = one;
  const name = headlineOf(run);
  const delivery = histograms[name];
  const [per, all] = name === "delivery" ? ["delivery", "last"] : ["after the first arrival", "spread"];
  const tile = (label, parts, note, bad) =>
    parts
      ? el(
          "div",
          {},
          el("dt", {}, label),
          el("dd", { class: bad ? "bad" : null }, parts[0], " ", el("small", {}, parts[1])),
          note ? el("dd", { class: "note" }, note) : null,
        )
      : null;
  const timed = (value) => (unknown(value) ? null : timeParts(value));
  const s = run.server;
  const lost = run.counts.lost;
  const memory = s?.mem_per_conn;
  const figures = [
    tile(
      `p50 ${per}`,
      timed(percentile(delivery, 50)),
      name === "delivery"
        ? "planned publish time to each subscriber"
        : "first arrival anywhere to each subscriber",
    ),
    tile(`p99 ${per}`, timed(percentile(delivery, 99)), delivery ? `max ${time(delivery.max)}` : null),
    tile(
      all === "last" ? "p50 time to the last" : "p50 spread",
      timed(percentile(histograms[all], 50)),
      all === "last" ? "until every subscriber has the event" : "first to last arrival of an event",
    ),
    tile(
      "deliveries",
      unknown(run.rates.deliveries)
        ? null
        : [shortParts(run.rates.deliveries)[0], shortParts(run.rates.deliveries)[1] + "/s"],
      `${count(run.counts.unique)} in all`,
    ),
    tile(
      "lost",
      unknown(lost) ? ["unknown", ""] : [count(lost), ""],
      unknown(run.counts.expected) ? null : `of ${count(run.counts.expected)} due`,
      lost > 0,
    ),
    tile("CPU per delivery", timed(s?.cpu_per_delivery_ns), "server, kernel included"),
    tile(
      "memory per connection",
      unknown(memory?.pss) ? null : bytesParts(memory.pss),
      unknown(memory?.kernel) ? null : `and ${bytes(memory.kernel)} in the kernel`,
    ),
    tile(
      "subscribers up",
      [count(run.connect.up), ""],
      `of ${count(run.connect.asked)} asked`,
      run.connect.up < run.connect.asked,
    ),
  ].filter(Boolean);
  // Full rows: four to a row when that comes out even, else three.
  return el("dl", { class: figures.length % 4 && figures.length > 4 ? "tiles three" : "tiles" }, figures);
}

// Columns of the comparison: name, how it is read, how it is shown, and whether less is better. What
// follows from the plan (deliveries, connects) is neither good nor bad.
const COMPARED = [
  ["p50", (r, h) => percentile(h[headlineOf(r)], 50), time, true],
  ["p99", (r, h) => percentile(h[headlineOf(r)], 99), time, true],
  ["max", (r, h) => h[headlineOf(r)]?.max, time, true],
  ["p50 to last", (r, h) => percentile(h.last, 50), time, true],
  ["p50 spread", (r, h) => (h.last ? null : percentile(h.spread, 50)), time, true],
  ["deliveries", (r) => r.rates.deliveries, rate, false],
  ["lost", (r) => r.counts.lost, count, true],
  ["CPU per delivery", (r) => r.server?.cpu_per_delivery_ns, time, true],
  ["memory per stream", (r) => r.server?.mem_per_conn.pss, bytes, true],
  ["kernel memory", (r) => r.server?.mem_per_conn.kernel, bytes, true],
  ["connects", (r) => r.connect.achieved_rate, rate, false],
];

function comparison(redraw) {
  if (single(state)) return null;
  const plans = new Set(state.runs.map(({ run }) => plan(run)));
  const columns = COMPARED.map(([name, read, show, less]) => {
    const values = state.runs.map(({ run, histograms }) => read(run, histograms) ?? null);
    return { name, show, best: less && plans.size === 1, values };
  }).filter(({ values }) => values.some((v) => v !== null));
  const rows = state.runs.map((one, i) => [
    runToggle(one, i, redraw),
    el("span", { class: one.run.verdict.status }, one.run.verdict.status),
    ...columns.map((column) => comparedCell(column, i, one.color)),
  ]);
  return section(
    "compare",
    "Side by side",
    plans.size === 1
      ? "Bold is the best of its column; the strokes compare sizes. Whether a difference is more than chance: downpour-load diff."
      : "The plans differ, so no figure here is better than another; the strokes compare sizes.",
    table(["run", "verdict", ...columns.map(({ name }) => name)], rows, "Runs side by side"),
    plans.size > 1
      ? el(
          "ul",
          {},
          state.runs.map(({ run, name }) => el("li", {}, `${name}: ${plan(run)}`)),
        )
      : null,
  );
}

function runToggle(one, i, redraw) {
  const toggle = (event) => {
    one.shown = event.target.checked;
    redraw();
  };
  const box = {
    type: "checkbox",
    checked: one.shown,
    "aria-label": `Show ${one.name}`,
    "data-keep": "run-" + i,
    onchange: toggle,
  };
  return el(
    "label",
    {},
    el("input", box),
    " ",
    el("span", { class: "swatch", style: `background:${one.color}` }),
    one.name,
  );
}

function comparedCell({ values, show, best }, i, color) {
  const value = values[i];
  if (value === null) return el("span", { class: "none" }, "n/a");
  const known = values.filter((v) => v !== null);
  const most = Math.max(...known);
  const differs = new Set(known.map(show)).size > 1;
  const width = Math.max(1, (value / most) * 100).toFixed(1);
  const meter =
    differs && most > 0 ? el("span", { class: "meter", style: `width:${width}%;color:${color}` }) : null;
  return {
    text: [show(value), meter],
    class: best && differs && show(value) === show(Math.min(...known)) ? "best" : null,
  };
}

function objectives() {
  const runs = shown(state);
  const exprs = [...new Set(runs.flatMap(({ run }) => run.slo.map(({ expr }) => expr)))];
  if (!exprs.length) return null;
  const outcome = (run, expr) => {
    const slo = run.slo.find((one) => one.expr === expr);
    if (!slo) return "";
    const timed = /^[a-z_.]+\.(p[\d.]+|mean|max|min|stddev)|cpu_per_delivery/.test(expr);
    const [word, kind] =
      slo.ok === true
        ? ["met", "valid"]
        : slo.ok === false
          ? ["breached", "invalid"]
          : ["not judged", "quiet"];
    return [
      unknown(slo.value) ? "" : (timed ? time : plain)(slo.value) + "  ",
      el("b", { class: kind }, word),
    ];
  };
  return section(
    "objectives",
    "Objectives",
    "What the server was asked to hold. An objective is judged only on a complete run that has the figure.",
    table(
      ["", ...runs.map(({ name }) => name)],
      exprs.map((expr) => [el("code", {}, expr), ...runs.map(({ run }) => outcome(run, expr))]),
      "Objectives",
    ),
  );
}
