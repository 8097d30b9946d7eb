// Whether every subscriber got everything, and who got it first.

const POSITION = orNone((rho) => `${rho > 0 ? "+" : rho < 0 ? "−" : ""}${Math.abs(rho).toFixed(2)}`);

function fairness(state) {
  const runs = shown(state).filter(({ run }) => run.fairness);
  if (!runs.length) return null;
  const rows = [
    ["Jain's index (1 = all alike)", (f) => f.jain.toFixed(3)],
    ["slowest over fastest mean", (f) => plain(f.mean_ratio)],
    ["position bias (+1: earlier connected is earlier served)", (f) => POSITION(f.position_rho)],
    ["events whose last receiver is one of the same 1 %", (f) => percent(f.last_share_top_percent)],
    ["subscribers that received nothing", (f) => count(f.silent)],
  ];
  return section(
    "fairness",
    "Fairness",
    "Mean latency of each subscriber against its place in the connect order. A slope means that the server always serves the same ones first.",
    el("div", { class: "bar" }, runKeys(state)),
    runs.some(({ run }) => run.fairness.by_order.length > 1) ? orderChart(state, runs) : null,
    table(
      ["", ...runs.map(({ name }) => name)],
      rows.map(([name, read]) => [name, ...runs.map(({ run }) => read(run.fairness))]),
      "Fairness",
    ),
    single(state) && runs[0].run.fairness.worst.length ? slowest(runs[0].run.fairness.worst) : null,
  );
}

function orderChart(state, runs) {
  const points = runs.map(({ run }) => run.fairness.by_order);
  const all = points.flat();
  const longest = longestBy(points, (list) => list.length);
  const stride = Math.ceil(longest.length / 400);
  return chart({
    label: "Mean latency against connect order",
    height: 250,
    x: linearScale(0, Math.max(1, ...all.map((p) => p.order + p.subscribers))),
    y: scaleOver(
      all.flatMap((p) => [p.min_ns, p.max_ns]),
      false,
    ),
    xShow: short,
    yShow: tickTime,
    yName: "mean latency",
    xName: "connect order",
    layers: runs.flatMap(({ color }, i) => [
      bandLayer(
        points[i].map((p) => [p.order, p.min_ns, p.max_ns]),
        color,
      ),
      lineLayer(
        points[i].map((p) => [p.order, p.mean_ns]),
        color,
      ),
    ]),
    stops: longest.filter((_, i) => i % stride === 0).map((p) => p.order),
    read: (at) => ({
      lead: `subscriber ${count(at)}`,
      items: runs.map(({ color, name }, i) => ({
        color,
        name: single(state) ? "mean" : name,
        text: time(nearestBy(points[i], (p) => p.order, at)?.mean_ns),
      })),
    }),
  });
}

function slowest(worst) {
  const rows = worst.map((one) => [
    `no. ${count(one.order + 1)}`,
    count(one.n),
    time(one.mean_ns),
    time(one.max_ns),
  ]);
  return el(
    "details",
    {},
    el("summary", {}, "The slowest subscribers"),
    table(["connected as", "deliveries", "mean", "max"], rows, "The slowest subscribers"),
  );
}

// Name, meaning, whether it is a fault, and whether it is worth a row when it is zero everywhere.
const COUNTERS = [
  ["lost", "due, and not received within the horizon", true, true],
  ["duplicate", "received again by the same subscriber", true, true],
  ["out_of_order", "received after a later event of its stream", true, true],
  ["corrupt", "checksum does not hold", true, true],
  ["malformed", "streams that broke HTTP or the event stream format", true, true],
  ["incomplete_events", "events that some subscriber never got", true, true],
  ["late", "received after the horizon", true, false],
  ["foreign", "events without a stamp of this run", false, false],
  ["gaps_announced", "gaps the server itself announced", false, false],
  ["ambiguous", "subscriber was just connecting: neither due nor lost", false, false],
  ["in_flight", "still inside the horizon at the end", false, false],
];

function integrity(state) {
  const runs = shown(state);
  const row = (name, note, read, bad) => [
    [name, el("small", { class: "beside" }, note)],
    ...runs.map(({ run }) => {
      const value = read(run.counts);
      return unknown(value)
        ? el("span", { class: "none" }, "unknown")
        : { text: count(value), class: bad && value > 0 ? "bad" : null };
    }),
  ];
  const counters = COUNTERS.filter(([key, , , always]) => always || runs.some(({ run }) => run.counts[key]));
  const reasons = [...new Set(runs.flatMap(({ run }) => Object.keys(run.counts.disconnects)))];
  const rows = [
    row("expected", "each event's confirmed subscribers", (c) => c.expected),
    row("unique", "received, each once", (c) => c.unique),
    ...counters.map(([key, note, bad]) => row(inWords(key), note, (c) => c[key], bad)),
    ...reasons.map((reason) => row("disconnected", reason, (c) => c.disconnects[reason] ?? 0, true)),
  ];
  const faulty = runs.filter(({ run }) => rowsOf(run).some((r) => FAULTS.some(([key]) => r[key])));
  return section(
    "integrity",
    "Integrity",
    "Every event carries a number, and every subscriber is held to every number. Unknown means that this run could not know.",
    faulty.map((one) =>
      el(
        "div",
        {},
        single(state) ? null : el("h3", {}, one.name),
        el("div", { class: "bar" }, keys(FAULTS.map(([key, color]) => [inWords(key), color]))),
        faultChart(one),
      ),
    ),
    table(["", ...runs.map(({ name }) => name)], rows, "Integrity"),
  );
}

const inWords = (key) => key.replaceAll("_", " ");

// Faults drawn over time, and their colours.
const FAULTS = [
  ["lost", "var(--s4)"],
  ["duplicate", "var(--s6)"],
  ["out_of_order", "var(--s3)"],
];

function faultChart(one) {
  const rows = rowsOf(one.run);
  const bars = (key, i) =>
    rows.map((r) => {
      const [from, width] = [since(one.run, r.t_ns), r.length_ns / 1e9 / FAULTS.length];
      return [from + i * width, from + (i + 1) * width, r[key]];
    });
  return chart({
    label: `Faults over time, ${one.name}`,
    height: 170,
    x: timeAxis([one]),
    y: scaleOver(
      rows.flatMap((r) => FAULTS.map(([key]) => r[key])),
      false,
    ),
    xShow: seconds,
    yShow: short,
    yName: "per interval",
    xName: "time in the measured window",
    layers: [...phases(one), ...FAULTS.map(([key, color], i) => barLayer(bars(key, i), color))],
    stops: rows.map((r) => middle(one.run, r)),
    read: (at, i) => ({
      lead: seconds(at),
      items: FAULTS.map(([key, color]) => ({ color, name: inWords(key), text: count(rows[i][key]) })),
    }),
  });
}
