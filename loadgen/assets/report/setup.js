// What was asked for, on what machine, and what the names mean.

function facts(entries) {
  return el(
    "dl",
    { class: "facts" },
    entries
      .filter(([, value]) => !unknown(value) && value !== "" && value !== "n/a")
      .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

function about({ run, histograms }) {
  return [
    el("div", { class: "two" }, facts(planFacts(run)), facts(rigFacts(run, histograms))),
    again(run),
    notesOf(run),
  ];
}

// The command, to run it again.
function again(run) {
  const command = shell(run.command);
  if (!command) return null;
  return [
    el(
      "div",
      { class: "bar" },
      el("b", {}, "To run it again"),
      el("button", { type: "button", onclick: (event) => copy(command, event.target) }, "Copy"),
    ),
    el("pre", {}, command),
  ];
}

const notesOf = (run) =>
  run.notes.length
    ? el(
        "ul",
        {},
        run.notes.map((note) => el("li", {}, note)),
      )
    : null;

const ARRIVALS = {
  kernel: "kernel receive stamp",
  user: "read in user space; the load generator's own delay is inside",
};
const CLOCKS = {
  single: "one machine publishes and receives",
  swarm: "each machine times its own events",
  none: "no publisher's clock: relative figures only",
};

function planFacts(run) {
  const { clock, target, plan: p } = run;
  return [
    ["target", target.url],
    ["publish to", target.publish_url],
    ["profile", target.profile],
    ["protocol", target.http ? `HTTP/${target.http}${target.tls ? ", " + target.tls : ""}` : null],
    ["path", target.loopback ? "loopback: no wire, no interrupts" : null],
    ["plan", plan(run)],
    ["topics are shared", p.distribution],
    ["events by topic", p.event_distribution],
    ["in one request", unknown(p.batch_ns) ? null : p.batch_ns ? `what is due within ${length(p.batch_ns)}` : "what is due together"],
    ["injected", (p.injected ?? []).join(", ")],
    ["load generator", withWhat(p)],
    ["phases", run.timeline.map((span) => `${span.phase} ${length(span.length_ns)}`).join(", ")],
    ["connect plan", unknown(p.connect_rate) ? "as fast as possible" : rate(p.connect_rate)],
    ["horizon", p.horizon_ns ? length(p.horizon_ns) : null],
    ["stamp", p.stamp],
    ["arrival is", ARRIVALS[clock.rx] ?? clock.rx],
    ["clock", CLOCKS[clock.mode] ?? clock.mode],
    ["agents", (clock.agents ?? []).map(agent).join("; ")],
    ["seed", String(run.seed)],
    ...Object.entries(run.labels),
  ];
}

// One machine of several that made the load.
function agent({ host, subscribers, up, unique, lost, verdict, missing }) {
  if (missing) return `${host} LOST: ${missing}`;
  const of = `${count(up)} of ${count(subscribers)} subscribers`;
  return `${host} ${of}, ${count(unique)} received, ${count(lost)} lost, ${verdict.toUpperCase()}`;
}

// How many of what the load generator used.
function withWhat(p) {
  const some = (n, one, many = one + "s") => (n ? `${count(n)} ${n === 1 ? one : many}` : null);
  return [
    some(p.threads, "thread"),
    some(p.publishers, "publisher connection"),
    some(p.sources, "source address", "source addresses"),
    some(p.probes, "probe"),
  ]
    .filter(Boolean)
    .join(", ");
}

// What the link alone needs for an event, and how that is made up.
function linkFloor(floor) {
  if (!floor) return null;
  const { time_ns, wire_bytes_per_delivery, link_bits_per_second } = floor;
  return `${time(time_ns)} an event: ${bytes(wire_bytes_per_delivery)} a delivery at ${short(link_bits_per_second)}bit/s`;
}

// How busy the busiest reading thread was, and how long it waited for a processor beside that.
function busiest({ busiest_thread, busiest_thread_waited }) {
  if (unknown(busiest_thread_waited)) return percent(busiest_thread);
  return `${percent(busiest_thread)}, and waited for a CPU ${percent(busiest_thread_waited)} more`;
}

function rigFacts({ rig, metrics }, histograms) {
  const machine = [
    rig.cpu_model,
    rig.cpu_count ? `${rig.cpu_count} CPUs` : null,
    unknown(rig.memory_bytes) ? null : bytes(rig.memory_bytes),
  ];
  const max = (name) => (metrics[name] ? `max ${time(metrics[name].max)}` : null);
  const slip =
    max("publish.slip") &&
    `publish slip p50 ${time(percentile(histograms["publish.slip"], 50))}, ${max("publish.slip")}`;
  return [
    ["machine", machine.filter(Boolean).join(", ")],
    ["kernel", rig.kernel],
    ["governor", rig.governor],
    ["pinned to", rig.cpus.length ? `CPU ${rig.cpus.join(", ")}` : null],
    ["busiest thread", busiest(rig)],
    ["all threads waited for a CPU", time(rig.runqueue_wait_ns)],
    ["own lateness", slip],
    ["client hold", max("client.hold")],
    ["hiccups", max("rig.hiccup")],
    ["softnet drops", count(rig.softnet.dropped)],
    ["softnet out of budget", count(rig.softnet.squeezed)],
    ["steal", percent(rig.steal)],
    ["link floor", linkFloor(rig.bandwidth_floor)],
    ["rig floor", rig.floor ? `p99 ${time(rig.floor.p99)} (${rig.floor.source})` : null],
    ...Object.entries(rig.limits),
  ];
}

const shell = (words) =>
  words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");

function setup() {
  return section(
    "setup",
    "Plan and rig",
    "What was asked for, on what, and how well the load generator itself kept up.",
    single(state) ? about(state.runs[0]) : aboutSides(),
  );
}

// What all servers have in common is said once, then what is each one's own.
function aboutSides() {
  const told = state.runs.map((one) => [planFacts(one.run), rigFacts(one.run, one.histograms)]);
  const common = (part) =>
    told[0][part].filter(([name, value]) =>
      told.every((facts) => facts[part].some(([other, its]) => other === name && its === value)),
    );
  const alike = [common(0), common(1)];
  const own = (i) =>
    [0, 1].flatMap((part) =>
      told[i][part].filter(([name, value]) => !alike[part].some(([other, its]) => other === name && its === value)),
    );
  return [
    el("div", { class: "two" }, facts(alike[0]), facts(alike[1])),
    state.runs.map((one, i) =>
      el(
        "details",
        { class: "side" },
        el(
          "summary",
          {},
          el("span", { class: "swatch", style: `background:${one.color}` }),
          el("b", {}, one.name),
          one.run.labels.version ? el("span", { class: "quiet" }, " " + one.run.labels.version) : null,
        ),
        facts([["started by", one.run.server?.command], ...own(i)]),
        again(one.run),
        notesOf(one.run),
      ),
    ),
  ];
}

function words() {
  const used = DEFINITIONS.filter((one) => state.runs.some(({ run }) => run.metrics[one.name]));
  return used.length
    ? section(
        "words",
        "What the names mean",
        null,
        el(
          "dl",
          { class: "facts" },
          used.map((one) => [el("dt", {}, el("code", {}, one.name)), el("dd", {}, one.text + ".")]),
        ),
      )
    : null;
}
