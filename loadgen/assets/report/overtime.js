// What happened when: the heat map of latency, the times of each event, rates, cost.

// The rows drawn over time: from the warm-up on, where there is one.
const rowsOf = (run) => run.series.filter((row) => row.phase !== "connect" && row.phase !== "settle");

const endOf = (run) => Math.max(0, ...rowsOf(run).map((row) => since(run, row.t_ns + row.length_ns)));

const beginOf = (run) => Math.min(0, ...rowsOf(run).map((row) => since(run, row.t_ns)));

function timeAxis(runs) {
  return linearScale(
    Math.min(...runs.map(({ run }) => beginOf(run))),
    Math.max(...runs.map(({ run }) => endOf(run))),
  );
}

function phases({ run }) {
  const window = spanOf(run, "measure");
  const end = window ? window.length_ns / 1e9 : endOf(run);
  return [
    shadeLayer(beginOf(run), 0, "warm-up"),
    shadeLayer(end, endOf(run), "drain"),
    marksLayer(run.marks.map((mark) => [since(run, mark.t_ns), mark.text])),
  ];
}

const middle = (run, row) => since(run, row.t_ns + row.length_ns / 2);

function heat(state) {
  const runs = shown(state).filter((one) => one.columns.length > 1);
  if (!runs.length) return null;
  const extremes = runs.flatMap(({ columns }) =>
    columns.flatMap(({ histogram }) => [histogram.min, histogram.max]),
  );
  // Below a microsecond there is nothing to see but the clock.
  const y = scaleOver(
    extremes.map((ns) => Math.max(ns, 1000)),
    true,
  );
  const figures = runs.map((one) =>
    el("div", {}, single(state) ? null : el("h3", {}, one.name), heatMap(one, y, single(state) ? 300 : 230)),
  );
  const rows = () =>
    runs.flatMap(({ name, columns }) =>
      columns.map(({ from, histogram }) => [
        seconds(from),
        name,
        ...columnFigures(histogram).map(([, text]) => text),
      ]),
    );
  return section(
    "time",
    "Latency over time",
    `Each column is one interval, each cell the number of samples of ${headlineOf(runs[0].run)} in it: the stronger the colour, the more, on a log scale.${runs.some(({ rounds }) => rounds.length > 1) ? " Of each server, the round whose p99 is the middle one." : ""}`,
    el(
      "div",
      { class: "bar" },
      keys([
        ["p50", "var(--s1)", "5 4"],
        ["p99", "var(--s1)", null],
      ]),
    ),
    single(state) ? figures : el("div", { class: "multiples" }, figures),
    asTable(["time", "run", "p50", "p99", "max", "samples"], rows, "Latency over time"),
  );
}

const columnFigures = (histogram) => [
  ["p50", time(percentile(histogram, 50))],
  ["p99", time(percentile(histogram, 99))],
  ["max", time(histogram.max)],
  ["samples", count(histogram.n)],
];

function heatMap(one, y, height) {
  const stops = one.columns.map(({ from, to }) => (from + to) / 2);
  const line = (p, extra) =>
    lineLayer(
      one.columns.map(({ histogram }, i) => [stops[i], percentile(histogram, p)]),
      "var(--s1)",
      extra,
    );
  return chart({
    label: `Latency over time, ${one.name}`,
    height,
    x: timeAxis([one]),
    y,
    xShow: seconds,
    yShow: tickTime,
    yName: "latency, log scale",
    xName: "time in the measured window",
    layers: [heatLayer(one.columns), line(50, "dash"), line(99, ""), ...phases(one)],
    stops,
    read: (at, i) => ({
      lead: seconds(at),
      items: columnFigures(one.columns[i].histogram).map(([name, text]) => ({ name, text })),
    }),
  });
}

function events(state) {
  const runs = shown(state).filter(({ run }) => run.events?.at_ns.length);
  if (!runs.length) return null;
  const clock = runs.some(({ run }) => run.events.last_ns.some((v) => v !== null));
  const series = runs.flatMap((one) => eventSeries(state, one, clock));
  const missing = runs
    .map(({ run, name }) => [
      name,
      run.events.last_ns.filter((v, i) => v === null && run.events.first_ns[i] !== null).length,
    ])
    .filter(([, n]) => n);
  return section(
    "events",
    clock ? "Time to the last subscriber" : "Spread of each event",
    clock
      ? "One dot per event: when its first subscriber had it, half of them, and the last one, from the planned publish time."
      : "One dot per event: from its first arrival at any subscriber to its last. No publisher's clock is needed for that.",
    el(
      "div",
      { class: "bar" },
      single(state) ? keys(series.map((one) => [one.name, one.color, null])) : runKeys(state),
    ),
    eventChart(state, runs, series),
    missing.map(([name, n]) =>
      el(
        "p",
        {},
        `${single(state) ? "" : name + ": "}${count(n)} of the events drawn never reached all of their subscribers; they have no last.`,
      ),
    ),
    asTable(
      ["run", "event at", "first", "half", "last", "spread", "received"],
      () => runs.flatMap(eventRows),
      "Events, the first 500",
    ),
  );
}

// Which times of a run are drawn: all of them when it is alone, else the one that matters most.
function eventSeries(state, one, clock) {
  const all = clock
    ? [
        ["last_ns", "last", "var(--s1)"],
        ["half_ns", "half", "var(--s0)"],
        ["first_ns", "first", "var(--s2)"],
      ]
    : [["spread_ns", "spread", "var(--s0)"]];
  const kinds = single(state) ? all : [[all[0][0], all[0][1], one.color]];
  const { at_ns, ...columns } = one.run.events;
  return kinds.map(([field, name, color]) => ({
    one,
    name,
    color,
    points: at_ns.map((at, i) => [since(one.run, at), columns[field][i]]),
  }));
}

function eventChart(state, runs, series) {
  const floor = single(state) ? runs[0].run.rig.bandwidth_floor?.time_ns : null;
  const longest = longestBy(series, ({ points }) => points.length).points;
  const stride = Math.ceil(longest.length / 400);
  return chart({
    label: "Times of each event",
    x: timeAxis(runs),
    y: scaleOver(
      series.flatMap(({ points }) => points.map(([, v]) => v)).concat(floor ?? []),
      state.logarithmic,
    ),
    xShow: seconds,
    yShow: tickTime,
    yName:
      (single(state) ? "per event" : series[0].name + ", per event") +
      (state.logarithmic ? ", log scale" : ""),
    xName: "time in the measured window",
    layers: [
      ...phases(runs[0]),
      ...series.map(({ points, color }) => dotLayer(points, color)),
      floor ? ruleLayer(floor, "link floor") : () => null,
    ],
    stops: longest.filter((_, i) => i % stride === 0).map(([at]) => at),
    read: (at) => ({
      lead: seconds(at),
      items: series.map(({ one, name, color, points }) => ({
        color,
        name: single(state) ? name : one.name,
        text: time(nearestBy(points, ([x]) => x, at)[1]),
      })),
    }),
  });
}

function eventRows({ run, name }) {
  const { at_ns, first_ns, half_ns, last_ns, spread_ns, received } = run.events;
  const times = [first_ns, half_ns, last_ns, spread_ns];
  return at_ns
    .slice(0, 500)
    .map((at, i) => [
      name,
      seconds(since(run, at)),
      ...times.map((column) => time(column[i])),
      count(received[i]),
    ]);
}

// A chart of one figure per interval, a line per run.
function overTime(state, spec) {
  // With several runs, one line each; the second kind of line would only tangle them.
  if (!single(state)) spec = { ...spec, lines: spec.lines.slice(0, 1) };
  const runs = shown(state).filter(({ run }) =>
    rowsOf(run).some((row) => spec.lines.some((line) => !unknown(line.read(row)))),
  );
  if (!runs.length) return null;
  const lines = runs
    .flatMap((one) =>
      spec.lines.map((line, i) => ({
        ...line,
        one,
        color: single(state) ? `var(--s${i})` : one.color,
        points: rowsOf(one.run).map((row) => [middle(one.run, row), line.read(row)]),
      })),
    )
    .filter(({ points }) => points.some(([, y]) => !unknown(y)));
  const longest = runs.reduce((a, b) => (rowsOf(a.run).length >= rowsOf(b.run).length ? a : b)).run;
  const stops = rowsOf(longest).map((row) => middle(longest, row));
  const name = (line) => (single(state) ? line.name : line.one.name);
  return el(
    "div",
    {},
    spec.title ? el("h3", {}, spec.title) : null,
    lines.length > 1 && spec.title
      ? el("div", { class: "bar" }, keys(lines.map((line) => [name(line), line.color, null])))
      : null,
    chart({
      label: spec.label,
      height: 210,
      x: timeAxis(runs),
      y: scaleOver(
        lines.flatMap(({ points }) => points.map(([, v]) => v)),
        false,
      ),
      xShow: seconds,
      yShow: spec.tick,
      yTicks: spec.ticks,
      yName: spec.yName,
      xName: "time in the measured window",
      layers: [...phases(runs[0]), ...lines.map(({ points, color }) => lineLayer(points, color))],
      stops,
      read: (at) => ({
        lead: seconds(at),
        items: lines.map((line) => ({
          color: line.color,
          name: name(line),
          text: spec.show(nearestBy(line.points, ([x]) => x, at)[1]),
        })),
      }),
    }),
    asTable(
      ["time", ...lines.map(name)],
      () =>
        stops.map((at) => [
          seconds(at),
          ...lines.map(({ points }) => spec.show(nearestBy(points, ([x]) => x, at)[1])),
        ]),
      spec.label,
    ),
  );
}

function throughput(state) {
  const chartNode = overTime(state, {
    label: "Deliveries per second",
    yName: "deliveries per second",
    show: rate,
    tick: tickRate,
    lines: [{ name: "deliveries", read: (row) => (row.deliveries * 1e9) / Math.max(1, row.length_ns) }],
  });
  return (
    chartNode &&
    section(
      "throughput",
      "Deliveries per second",
      throughputWords(state),
      el("div", { class: "bar" }, runKeys(state)),
      chartNode,
    )
  );
}

function throughputWords(state) {
  const words = "What arrived at all subscribers together";
  const { payload_bytes, wire_bytes } = shown(state)[0].run.rates;
  if (!single(state) || unknown(payload_bytes) || unknown(wire_bytes)) return words + ".";
  return `${words}: ${bytes(payload_bytes)}/s of data, ${bytes(wire_bytes)}/s read from sockets.`;
}

function server(state) {
  const charts = [
    overTime(state, {
      title: single(state) ? "CPU" : "CPU cores of the server",
      label: "CPU over time",
      yName: single(state) ? "cores; share of a core" : "cores",
      show: plain,
      tick: tickPlain,
      lines: [
        { name: "server, cores", read: (row) => row.server_cpu },
        { name: "server waits for, cores", read: (row) => row.server_cpu_waited },
        { name: "busiest load generator thread", read: (row) => row.client_cpu },
      ],
    }),
    overTime(state, {
      title: "Memory of the server's process",
      label: "Memory of the process over time",
      yName: "bytes",
      show: bytes,
      tick: tickBytes,
      ticks: binaryTicks,
      lines: [{ name: "server process", read: (row) => row.server_pss_bytes }],
    }),
    overTime(state, {
      title: "Sockets in the kernel of its machine",
      label: "Kernel memory of sockets over time",
      yName: "bytes",
      show: bytes,
      tick: tickBytes,
      ticks: binaryTicks,
      lines: [{ name: "sockets", read: (row) => row.server_kernel_bytes }],
    }),
  ].filter(Boolean);
  const measured = shown(state).filter(({ run }) => run.server);
  const rows = [
    ["CPU per delivery", (s) => time(s.cpu_per_delivery_ns)],
    ["of it in the kernel", (s) => percent(s.cpu_ns.sys / Math.max(1, s.cpu_ns.user + s.cpu_ns.sys))],
    ["CPU time in all, user and kernel", (s) => `${time(s.cpu_ns.user)} + ${time(s.cpu_ns.sys)}`],
    ["cores busy", (s) => plain(s.cores)],
    ["waited for a CPU", (s) => time(s.runqueue_wait_ns)],
    ["neighbours on its CPUs", (s) => time(s.neighbours_ns)],
    ["softirq on its machine, cores", (s) => plain(s.softirq_cores)],
    ["user memory per connection", (s) => bytes(s.mem_per_conn.pss)],
    [
      "kernel memory per connection",
      ({ mem_per_conn: { kernel, kernel_unknown } }) => ({
        text: bytes(kernel),
        note: unknown(kernel) ? kernel_unknown : null,
        words: true,
      }),
    ],
    ["process memory", (s) => bytes(s.pss_bytes)],
    ["open descriptors", (s) => count(s.fds)],
    ["listen overflows", (s) => count(s.net.listen_overflows)],
    ["segments sent again", (s) => count(s.net.retrans)],
    ["backlog drops", (s) => count(s.net.backlog_drop)],
    ["connections aborted for memory", (s) => count(s.net.abort_on_memory)],
  ];
  if (!charts.length && !measured.length) return null;
  return section(
    "server",
    "Cost on the server",
    measured.length
      ? "CPU time of all its threads, kernel included, over the measured window. Memory in two figures, because the resident set of a process hides its sockets."
      : "The server's process was not observed; this is the load generator alone.",
    el("div", { class: "two" }, charts),
    measured.length
      ? table(
          ["", ...measured.map(({ name }) => name)],
          rows.map(([name, read]) => [name, ...measured.map(({ run }) => read(run.server))]),
          "Cost on the server",
        )
      : null,
  );
}
