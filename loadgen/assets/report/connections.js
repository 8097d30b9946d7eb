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
    name,
    unknown(run.storm.replay_gap)
      ? "unknown"
      : { text: count(run.storm.replay_gap), class: run.storm.replay_gap ? "bad" : null },
    unknown(run.storm.replay_duplicate) ? "unknown" : count(run.storm.replay_duplicate),
  ]);
  return section(
    "storm",
    "Reconnect storm",
    "Connections were dropped at once and came back as clients do, each from the last event it had seen.",
    table(["", "dropped", "back", "half after", "99 % after", "all after"], rows, "Waves of the storm"),
    table(["", "missing without notice", "received twice"], proof, "What was missing across the cut"),
  );
}

function slow(state) {
  const runs = shown(state).filter(({ run }) => run.slow);
  if (!runs.length) return null;
  const rows = [
    ["slow subscribers", (s) => count(s.subscribers)],
    ["each reads", (s) => (s.read_bytes_per_second ? bytes(s.read_bytes_per_second) + "/s" : "nothing")],
    ["p99 of the others, times", (s) => plain(s.isolation)],
    ["cut by the server", (s) => count(s.cut)],
    ["median time until then", (s) => time(s.cut_after_ns)],
    ["unread in this machine's buffers", (s) => bytes(s.unread_bytes)],
  ];
  return section(
    "slow",
    "Slow readers",
    "A part of the subscribers read slowly or not at all. The others should not notice.",
    table(
      ["", ...runs.map(({ name }) => name)],
      rows.map(([name, read]) => [name, ...runs.map(({ run }) => read(run.slow))]),
      "Slow readers",
    ),
  );
}
