// Connecting, coming back after a storm, and reading slowly.

function connects(state) {
  const ramps = shown(state).filter(({ run }) => run.ramp.length > 1);
  const rows = connectRows(state);
  if (!ramps.length && !rows.length) return null;
  const lines = ramps.flatMap((one) => rampLines(state, one));
  return section(
    "connects",
    "Connecting",
    shown(state)
      .map((one) => connectWords(state, one))
      .join("; ") + ".",
    el(
      "div",
      { class: "bar" },
      single(state) ? keys(lines.map((line) => [line.name, line.color, line.dash])) : runKeys(state),
    ),
    ramps.length ? rampChart(state, ramps, lines) : null,
    shown(state).map((one) => failures(state, one)),
    rows.length ? table(["", "p50", "p90", "p99", "p99.9", "max"], rows, "Latency of connecting") : null,
  );
}

function connectRows(state) {
  // Side by side, what a subscriber waits for is enough.
  const whole = ["connect.ready", "connect.first_event", "reconnect.recover"];
  const metrics = DEFINITIONS.filter(
    (one) => one.per === "connection" && (single(state) || whole.includes(one.name)),
  );
  return metrics.flatMap(({ name, text }) =>
    shown(state)
      .filter(({ histograms }) => histograms[name])
      .map((one) => [
        single(state) ? el("span", { title: text }, name) : `${name}, ${one.name}`,
        ...[50, 90, 99, 99.9].map((p) => time(percentile(one.histograms[name], p))),
        time(one.histograms[name].max),
      ]),
  );
}

function connectWords(state, { run, name }) {
  const { up, asked, length_ns, syn_retrans } = run.connect;
  const parts = [single(state) ? "" : `${name}: `, `${count(up)} of ${count(asked)} up`];
  if (!unknown(length_ns)) parts.push(` in ${time(length_ns)}`);
  if (syn_retrans) parts.push(`, ${count(syn_retrans)} SYN sent again`);
  return parts.join("");
}

function failures(state, { run, name }) {
  const e = run.connect.errors;
  const named = {
    refused: e.refused,
    reset: e.reset,
    "timed out": e.timeout,
    "not an event stream": e.mime,
    "closed early": e.closed,
    "local error": e.local,
  };
  for (const [code, n] of Object.entries(e.status)) named[`status ${code}`] = n;
  const found = Object.entries(named)
    .filter(([, n]) => n)
    .map(([what, n]) => `${what} ${count(n)}`);
  return found.length
    ? el("p", { class: "bad" }, `${single(state) ? "Failed" : name}: ${found.join(", ")}.`)
    : null;
}

function rampLines(state, one) {
  const planned = single(state) ? "var(--s7)" : one.color;
  return [
    { one, name: "up", color: one.color, dash: null, read: (point) => point.up },
    { one, name: "planned", color: planned, dash: "5 4", read: (point) => point.planned },
    { one, name: "failed", color: "var(--s4)", dash: null, read: (point) => point.failed || null },
  ].filter((line) => one.run.ramp.some((point) => !unknown(line.read(point))));
}

function rampChart(state, ramps, lines) {
  const at = (point) => point.t_ns / 1e9;
  const longest = longestBy(ramps, ({ run }) => run.ramp.length).run.ramp;
  return chart({
    label: "Connections over time",
    height: 230,
    x: linearScale(0, Math.max(...ramps.flatMap(({ run }) => run.ramp.map(at)))),
    y: scaleOver(
      lines.flatMap((line) => line.one.run.ramp.map(line.read)),
      false,
    ),
    xShow: (v) => tickTime(v * 1e9),
    yShow: short,
    yName: "connections",
    xName: "time since the start",
    layers: lines.map((line) =>
      lineLayer(
        line.one.run.ramp.map((point) => [at(point), line.read(point)]),
        line.color,
        line.dash ? "dash" : "",
      ),
    ),
    stops: longest.map(at),
    read: (x) => ({
      lead: seconds(x),
      items: lines.map((line) => ({
        color: line.color,
        name: single(state) ? line.name : `${line.one.name}, ${line.name}`,
        text: count(line.read(nearestBy(line.one.run.ramp, at, x)) ?? 0),
      })),
    }),
  });
}

function storm(state) {
  const runs = shown(state).filter(({ run }) => run.storm);
  if (!runs.length) return null;
  const never = (ns) => (unknown(ns) ? "never" : time(ns));
  const rows = runs.flatMap(({ run, name }) =>
    run.storm.waves.map((wave, i) => [
      single(state) ? `wave ${i + 1}` : `${name}, wave ${i + 1}`,
      count(wave.dropped),
      { text: count(wave.back), class: wave.back < wave.dropped ? "bad" : null },
      never(wave.back_50_ns),
      never(wave.back_99_ns),
      never(wave.back_all_ns),
    ]),
  );
  const proof = runs.map(({ run, name }) => [
    single(state) ? "across the cut" : name,
    unknown(run.storm.replay_gap)
      ? "unknown"
      : { text: count(run.storm.replay_gap), class: run.storm.replay_gap ? "bad" : null },
    unknown(run.storm.replay_duplicate) ? "unknown" : count(run.storm.replay_duplicate),
  ]);
  return section(
    "storm",
    "Reconnect storm",
    "Connections were dropped at once and came back as clients do, each from the last event it had seen. Of each wave the chart has three points: half, 99 % and all of the dropped.",
    returnChart(state, runs),
    table(["", "dropped", "back", "half after", "99 % after", "all after"], rows, "Waves of the storm"),
    table(["", "missing without notice", "received twice"], proof, "What was missing across the cut"),
  );
}

// How fast those who were dropped came back: of each wave the points that its run has kept.
function returnChart(state, runs) {
  const waves = runs.flatMap(({ run, name, color }) =>
    run.storm.waves
      .filter((wave) => wave.dropped)
      .map((wave, i) => ({
        name: single(state) ? `wave ${i + 1}` : `${name}, wave ${i + 1}`,
        color: single(state) ? COLORS[i % COLORS.length] : color,
        points: [
          [wave.back_50_ns, 0.5],
          [wave.back_99_ns, 0.99],
          [wave.back_all_ns, 1],
        ].filter(([at]) => !unknown(at)),
      })),
  );
  if (!waves.some(({ points }) => points.length > 1)) return null;
  const last = Math.max(...waves.flatMap(({ points }) => points.map(([at]) => at)));
  const share = (v) => `${Math.round(v * 100)} %`;
  const stops = [...new Set(waves.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  // What is known: how many had come back by then at least.
  const at = (points, x) => points.filter(([when]) => when <= x).pop()?.[1];
  return [
    el("div", { class: "bar" }, single(state) ? keys(waves.map((one) => [one.name, one.color, null])) : runKeys(state)),
    chart({
      label: "Share of the dropped that are back",
      height: 230,
      x: linearScale(0, last),
      y: linearScale(0, 1),
      padRight: 14,
      xShow: tickTime,
      yShow: share,
      yName: "share of the dropped that are back",
      xName: "time since the cut",
      layers: waves.flatMap(({ points, color }) => [lineLayer(points, color, "dash"), dotLayer(points, color)]),
      stops,
      read: (x) => ({
        lead: time(x),
        items: waves.map(({ name, color, points }) => ({ name, color, text: unknown(at(points, x)) ? "less than half" : `${share(at(points, x))} at least` })),
      }),
    }),
  ];
}

function slow(state) {
  const runs = shown(state).filter(({ run }) => run.slow);
  if (!runs.length) return null;
  const p99 = ({ histograms }) => percentile(histograms.delivery, 99);
  const rows = [
    ["slow subscribers", (s) => count(s.subscribers)],
    ["each reads", (s) => (s.read_bytes_per_second ? bytes(s.read_bytes_per_second) + "/s" : "nothing")],
    ["p99 of the others", (s, one) => time(p99(one))],
    ["p99 of the same without the slow ones", (s) => time(s.p99_without_ns)],
    ["the former over the latter: 1 = undisturbed", (s) => plain(s.isolation)],
    ["cut by the server", (s) => count(s.cut)],
    ["median time until then", (s) => time(s.cut_after_ns)],
    ["unread in this machine's buffers", (s) => bytes(s.unread_bytes)],
  ];
  return section(
    "slow",
    "Slow readers",
    "A part of the subscribers read slowly or not at all. The others should not notice.",
    runs.filter(({ run }) => !unknown(run.slow.p99_without_ns)).map((one) => isolation(state, one, p99(one))),
    table(
      ["", ...runs.map(({ name }) => name)],
      rows.map(([name, read]) => [name, ...runs.map((one) => read(one.run.slow, one))]),
      "Slow readers",
    ),
  );
}

// The p99 of those that read, without and with those that do not, as two bars from zero.
function isolation(state, { run, name, color }, with_ns) {
  const values = [
    ["without slow readers", run.slow.p99_without_ns, "fill light"],
    ["with them", with_ns, "fill"],
  ].filter(([, ns]) => !unknown(ns));
  const most = Math.max(1, ...values.map(([, ns]) => ns));
  return el(
    "div",
    { class: "ranking" },
    el("h3", {}, single(state) ? "p99 of those that read" : `p99 of those that read, ${name}`),
    el(
      "ul",
      {},
      values.map(([who, ns, fill]) =>
        el(
          "li",
          {},
          el("span", { class: "who" }, who),
          el(
            "span",
            { class: "track", "aria-hidden": "true" },
            el("i", { class: fill, style: `width:${((ns / most) * 100).toFixed(2)}%;background:${color}` }),
          ),
          el("span", { class: "what" }, time(ns)),
        ),
      ),
    ),
  );
}
