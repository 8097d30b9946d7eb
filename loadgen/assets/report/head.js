// The top of the page: verdict, figures in large, runs side by side, objectives.

const payload = ({ min_bytes, max_bytes }) =>
  max_bytes > min_bytes ? `${bytes(min_bytes)} to ${bytes(max_bytes)}` : bytes(min_bytes);

function payloads(size) {
  if (!size.parts?.length) return payload(size);
  return `(${size.parts.map((part) => `${percent(part.share)} ${payload(part)}`).join(", ")})`;
}

// The rate over time, as the text report says it.
function pace({ pace: form, rate }) {
  if (form?.startsWith("@")) return `the trace ${form.slice(1)}`;
  if (form) return `${form} events/s`;
  const [from, to] = [rate[0][1], rate[rate.length - 1][1]];
  return `${short(from)}${from === to ? "" : ` to ${short(to)}`} events/s`;
}

function plan(run) {
  const p = run.plan;
  const size = p.size ? ` × ${payloads(p.size)}` : "";
  const load = p.rate.length ? `${pace(p)} ${p.arrival ?? ""}${size}` : "publishes nothing";
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
  const { run } = state.runs[0];
  const made = `${run.tool.name} ${run.tool.version} · ${utc(run.started_unix_ns)}${run.target.loopback ? " · loopback" : ""}`;
  return [
    state.alone ? wayBack(state.alone) : null,
    el("p", { class: "made" }, made),
    ...(single(state) ? aloneHeading(state.runs[0]) : sidesHeading()),
  ].filter(Boolean);
}

const aloneHeading = (one) => [
  el("h1", {}, one.name),
  el("p", { class: "plan" }, plan(one.run)),
  verdict(one),
  tiles(one),
];

function sidesHeading() {
  const plans = [...new Set(state.runs.map(({ run }) => plan(run)))];
  const rounds = Math.max(...state.runs.map((one) => new Set(one.rounds.map(roundOf)).size));
  const servers = state.runs.filter((one) => !one.isFloor).length;
  const what = state.runs.some((one) => one.rounds.length > 1 || one.isFloor) ? "server" : "run";
  const load = plans.length === 1 ? plans[0] : "The plans differ: see below before comparing.";
  return [
    el("h1", {}, `${servers} ${what}${servers === 1 ? "" : "s"} compared`),
    el("p", { class: "plan" }, load, rounds > 1 ? ` · ${rounds} rounds` : ""),
    sidesVerdict(),
  ];
}

// The way back from a single run, and to the other runs of its server.
function wayBack(one) {
  const group = state.groups.find(({ rounds }) => rounds.includes(one));
  const others = group.rounds.map((entry) => {
    const name = entry.when ?? entry.name;
    return entry === one
      ? el("b", { "aria-current": "page" }, name)
      : el("a", { href: "#run-" + entry.id }, name);
  });
  return el(
    "p",
    { class: "back" },
    el("a", { href: "#all" }, `← All ${count(state.groups.length)} side by side`),
    others.length > 1 ? [el("span", { class: "quiet" }, group.name), ...others] : null,
  );
}

// One banner for all runs: the worst verdict, and each reason once for each server.
function sidesVerdict() {
  const worst = GRADES[Math.max(...state.runs.map(gradeOf))];
  const entries = state.runs.flatMap(({ rounds }) => rounds);
  const alike = entries.filter(({ run }) => run.verdict.status === worst).length;
  const says = {
    valid: `Nothing speaks against any of the ${count(entries.length)} runs.`,
    suspect: `${count(alike)} of ${count(entries.length)} runs hold with reservations.`,
    invalid: `${count(alike)} of ${count(entries.length)} runs describe the rig or a broken run, not the server.`,
  }[worst];
  // What is said of several runs alike is said once.
  const found = new Map();
  for (const one of state.runs)
    for (const { run } of one.rounds)
      for (const reason of run.verdict.reasons) {
        const key = reason.code + reason.text;
        if (!found.has(key)) found.set(key, { reason, times: new Map() });
        const { times } = found.get(key);
        times.set(one, (times.get(one) ?? 0) + 1);
      }
  const whom = ({ reason, times }) => {
    if (reason.status === "valid") return " ";
    const each = [...times].map(([one, n]) =>
      n < one.rounds.length ? `${one.name} (${n} of ${one.rounds.length})` : one.name,
    );
    const all = times.size === state.runs.length && [...times].every(([one, n]) => n === one.rounds.length);
    return [" ", el("b", {}, all ? "all" : each.join(", ")), ": "];
  };
  return el(
    "div",
    { class: `verdict ${worst}`, role: "note" },
    el("p", {}, el("span", { class: `word ${worst}` }, worst.toUpperCase()), " ", says),
    el(
      "ul",
      {},
      [...found.values()].map((one) =>
        el("li", {}, el("code", {}, one.reason.code), whom(one), one.reason.text),
      ),
    ),
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
    tile("p50 until back", timed(percentile(histograms["reconnect.recover"], 50)), "drop to open stream"),
    tile(
      "p99 until back",
      timed(percentile(histograms["reconnect.recover"], 99)),
      run.storm ? `${count(run.storm.waves.length)} wave${run.storm.waves.length === 1 ? "" : "s"}` : null,
    ),
    tile(
      "missing without notice",
      unknown(run.storm?.replay_gap) ? null : [count(run.storm.replay_gap), ""],
      "across the cut",
      run.storm?.replay_gap > 0,
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
      [
        unknown(run.counts.expected) ? null : `of ${count(run.counts.expected)} due`,
        run.counts.unread ? `${count(run.counts.unread)} more unread at the end` : null,
      ]
        .filter(Boolean)
        .join("; ") || null,
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
  return el("dl", { class: figures.length % 4 ? "tiles three" : "tiles" }, figures);
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
