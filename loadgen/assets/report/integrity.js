// Whether every subscriber got everything, and who got it first.

const POSITION = orNone((rho) => `${rho > 0 ? "+" : rho < 0 ? "−" : ""}${Math.abs(rho).toFixed(2)}`);

function fairness(state) {
  const runs = shown(state).filter(({ run }) => run.fairness);
  if (!runs.length) return null;
  const rows = [
    ["Jain's index (1 = all alike)", (f) => f.jain.toFixed(3)],
    ["Gini coefficient (0 = all alike)", (f) => (f.by_order.length > 1 ? lorenz(f.by_order).gini.toFixed(3) : "n/a")],
    ["slowest over fastest mean", (f) => plain(f.mean_ratio)],
    ["position bias (+1: earlier connected is earlier served)", (f) => POSITION(f.position_rho)],
    ["events whose last receiver is one of the same 1 %", (f) => percent(f.last_share_top_percent)],
    ["subscribers that received nothing", (f) => count(f.silent)],
  ];
  return section(
    "fairness",
    "Fairness",
    "Mean latency of each subscriber against its place in the connect order: a slope means that the server always serves the same ones first. Beside it the Lorenz curve: the share of all waiting that the best-served bear; the straight line is everybody alike.",
    el("div", { class: "bar" }, runKeys(state)),
    el(
      "div",
      { class: "pair" },
      runs.some(({ run }) => run.fairness.by_order.length > 1) ? orderChart(state, runs) : null,
      lorenzChart(runs.filter(({ run }) => run.fairness.by_order.length > 1)),
    ),
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
        "",
        dashOf(runs[i]),
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

// Points of the Lorenz curve, from the best served on, and the Gini coefficient: twice the area
// between the curve and the straight line. Neighbours summed up in one point count by their number.
function lorenz(points) {
  const sorted = [...points].sort((a, b) => a.mean_ns - b.mean_ns);
  const subscribers = sorted.reduce((sum, p) => sum + p.subscribers, 0);
  const waiting = sorted.reduce((sum, p) => sum + p.subscribers * p.mean_ns, 0);
  const curve = [[0, 0]];
  let area = 0;
  for (const p of sorted) {
    const [x, y] = curve[curve.length - 1];
    const next = [
      x + p.subscribers / subscribers,
      waiting > 0 ? y + (p.subscribers * p.mean_ns) / waiting : x + p.subscribers / subscribers,
    ];
    area += ((y + next[1]) / 2) * (next[0] - x);
    curve.push(next);
  }
  return { curve, gini: Math.max(0, 1 - 2 * area) };
}

function lorenzChart(runs) {
  if (!runs.length) return null;
  const curves = runs.map(({ run }) => lorenz(run.fairness.by_order).curve);
  const share = (v) => `${Math.round(v * 100)} %`;
  const stops = Array.from({ length: 20 }, (_, i) => (i + 1) / 20);
  return chart({
    label: "Lorenz curve of the waiting",
    height: 250,
    x: linearScale(0, 1),
    y: linearScale(0, 1),
    padRight: 14,
    xShow: share,
    yShow: share,
    yName: "share of all waiting",
    xName: "share of subscribers, best served first",
    layers: [
      lineLayer(
        [
          [0, 0],
          [1, 1],
        ],
        "var(--faint)",
        "dash",
      ),
      ...runs.map((one, i) => lineLayer(curves[i], one.color, "", dashOf(one))),
    ],
    stops,
    read: (at) => ({
      lead: share(at),
      items: runs.map(({ color, name }, i) => ({
        color,
        name: single(state) ? "bear" : name,
        text: share(nearestBy(curves[i], ([x]) => x, at)[1]),
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

// Name, meaning, whether it is a fault, whether it is worth a row when it is zero everywhere, and
// how it is shown.
const COUNTERS = [
  ["lost", "due, and never received", true, true],
  ["duplicate", "received again by the same subscriber", true, true],
  ["out_of_order", "received after a later event of its stream", true, true],
  ["corrupt", "checksum does not hold", true, true],
  ["malformed", "streams that broke HTTP or the event stream format", true, true],
  ["incomplete_events", "events that some subscriber did not get within the horizon", true, true],
  ["late", "received, but after the horizon", true, false],
  ["unread", "past the horizon and still on the way at the end: neither received nor lost", true, false],
  ["unread_bytes", "of these in this machine's sockets", false, false, bytes],
  ["foreign", "events without a stamp of this run", false, false],
  ["lost_silent", "lost, and announced by no gap", true, false],
  ["gaps_announced", "gaps the server itself announced", false, false],
  ["gaps_late", "announced only after an event from behind the gap", true, false],
  ["gaps_unfounded", "announced although nothing was missing", true, false],
  ["ambiguous", "subscriber was just connecting: neither due nor lost", false, false],
  ["in_flight", "still inside the horizon at the end", false, false],
  ["coalesced_reads", "reads that brought several events: only the last one's stamp is exact", false, false],
];

function integrity(state) {
  const runs = shown(state);
  const row = (name, note, read, bad, show = count) => [
    [name, el("small", { class: "beside" }, note)],
    ...runs.map((one) => {
      const value = total(one, read);
      return unknown(value)
        ? el("span", { class: "none" }, "unknown")
        : { text: show(value), class: bad && value > 0 ? "bad" : null };
    }),
  ];
  const counters = COUNTERS.filter(
    ([key, , , always]) => always || runs.some((one) => total(one, (counts) => counts[key])),
  );
  const entries = runs.flatMap(({ rounds }) => rounds);
  const reasons = [...new Set(entries.flatMap(({ run }) => Object.keys(run.counts.disconnects)))];
  const rows = [
    row("expected", "each event's confirmed subscribers", (c) => c.expected),
    row("unique", "received, each once", (c) => c.unique),
    ...counters.map(([key, note, bad, , show]) => row(inWords(key), note, (c) => c[key], bad, show)),
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
    single(state) ? offences(runs[0].run.counts.offences ?? []) : null,
  );
}

// What became of the publishes, and how late they were.
function publishing(state) {
  const runs = shown(state).filter(({ run }) => run.publish);
  if (!runs.length) return null;
  const sum = ({ rounds }, read) =>
    rounds.reduce((all, { run }) => all + (run.publish ? (read(run.publish) ?? 0) : 0), 0);
  const row = (name, note, read, bad) => [
    [name, el("small", { class: "beside" }, note)],
    ...runs.map((one) => {
      const value = sum(one, read);
      return { text: count(value), class: bad && value > 0 ? "bad" : null };
    }),
  ];
  const statuses = [
    ...new Set(runs.flatMap(({ rounds }) => rounds.flatMap(({ run }) => Object.keys(run.publish?.refused ?? {})))),
  ];
  const rest = [
    ["failed", "the connection broke before the answer: nobody knows whether it was taken", (p) => p.failed],
    ["withheld", "due and never sent, because the server did not take it", (p) => p.withheld],
  ].filter(([, , read]) => runs.some((one) => sum(one, read)));
  const rows = [
    row("planned", "events whose intended time lies in the window", (p) => p.planned),
    row("sent", "handed to the kernel", (p) => p.sent),
    row("accepted", "answered with 2xx", (p) => p.acked),
    ...statuses.map((status) => row(`refused ${status}`, "due to nobody", (p) => p.refused[status], true)),
    ...rest.map(([name, note, read]) => row(name, note, read, true)),
  ];
  const kept = runs.filter(({ run }) => !unknown(run.rates.achieved_ratio));
  const latencies = ["publish.ack", "publish.slip"].flatMap((name) =>
    runs
      .filter(({ histograms }) => histograms[name])
      .map((one) => [
        single(state) ? el("span", { title: meaning(name)?.text }, name) : `${name}, ${one.name}`,
        ...[50, 99, 99.9].map((p) => time(percentile(one.histograms[name], p))),
        time(one.histograms[name].max),
      ]),
  );
  return section(
    "publishing",
    "Publishing",
    "When an event is due follows from its number alone. What goes out late counts from its planned time all the same: publish.slip is by how much.",
    table(["", ...runs.map(({ name }) => name)], rows, "Publishing"),
    single(state) && kept.length && kept[0].run.rates.achieved_ratio < 0.99
      ? el("p", { class: "bad" }, `Only ${percent(kept[0].run.rates.achieved_ratio)} of the plan was sent.`)
      : null,
    latencies.length
      ? [el("h3", {}, "How late"), table(["", "p50", "p99", "p99.9", "max"], latencies, "Latency of publishing")]
      : null,
  );
}

// Subscribers named in a row; the table below has all.
const NAMED_MAX = 6;
const OFFENCES = {
  lost: "lost",
  duplicate: "received again",
  out_of_order: "out of order",
  corrupt: "corrupt",
  late: "late",
  gap: "gap announced",
  gap_late: "gap announced late",
  gap_unfounded: "gap announced, nothing missing",
};
const subscriberNo = (one) => `no. ${count(one.subscriber + 1)}`;

// Faults by name: who, which event of which stream, when.
function offences(list) {
  if (!list.length) return null;
  const kinds = Object.keys(OFFENCES).filter((kind) => list.some((one) => one.kind === kind));
  const summary = kinds.map((kind) => {
    const found = list.filter((one) => one.kind === kind);
    const who = [...new Set(found.map(subscriberNo))];
    const more = who.length > NAMED_MAX ? ` and ${count(who.length - NAMED_MAX)} more` : "";
    return [
      OFFENCES[kind],
      count(found.length),
      { text: who.slice(0, NAMED_MAX).join(", ") + more, class: "text" },
    ];
  });
  const rows = list.map((one) => [
    OFFENCES[one.kind] ?? one.kind,
    subscriberNo(one),
    one.stream ?? one.topic ?? "",
    unknown(one.expected) ? "" : count(one.expected),
    unknown(one.met) ? "" : count(one.met),
    count(one.count ?? 1),
    unknown(one.at_ns) ? "" : seconds(since(state.runs[0].run, one.at_ns)),
  ]);
  const head = ["fault", "subscriber", "stream", "expected", "met instead", "events", "at"];
  return el(
    "div",
    {},
    el("h3", {}, "Faults by name"),
    el("p", { class: "quiet" }, "Subscribers by their place in the connect order; of each kind the first 100 are kept."),
    table(["", "listed", { text: "subscribers", class: "text" }], summary, "Who was hit"),
    el("details", {}, el("summary", {}, "One by one"), table(head, rows, "Faults one by one")),
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
    layers: [...FAULTS.map(([key, color], i) => barLayer(bars(key, i), color)), ...phases(one)],
    stops: rows.map((r) => middle(one.run, r)),
    read: (at, i) => ({
      lead: seconds(at),
      items: FAULTS.map(([key, color]) => ({ color, name: inWords(key), text: count(rows[i][key]) })),
    }),
  });
}
