// The page: reads the embedded runs, decodes their histograms, and puts the sections together.

const COLORS = Array.from({ length: 8 }, (_, i) => `var(--s${i})`);
const embedded = JSON.parse(document.getElementById("data").textContent);
const DEFINITIONS = embedded.definitions;
const state = { runs: [], metric: "delivery", logarithmic: true };

function nameOf(run) {
  const name = run.name || run.target.url || `run ${utc(run.started_unix_ns)}`;
  const taken = state.runs.filter((one) => one.base === name).length;
  return { base: name, name: taken ? `${name} (${taken + 1})` : name };
}

async function add(run) {
  const one = { run, ...nameOf(run), color: COLORS[state.runs.length % COLORS.length], shown: true, histograms: {}, columns: [] };
  state.runs.push(one);
  for (const [name, metric] of Object.entries(run.metrics)) one.histograms[name] = await decodeHistogram(metric.histogram);
  const headline = headlineOf(run);
  for (const row of rowsOf(run)) {
    const blob = row.histograms[headline];
    if (blob) one.columns.push({ from: since(run, row.t_ns), to: since(run, row.t_ns + row.length_ns), histogram: await decodeHistogram(blob) });
  }
}

/* Head ------------------------------------------------------------------------ */

function plan(run) {
  const p = run.plan;
  const size = p.size ? ` × ${bytes(p.size.min_bytes)}${p.size.max_bytes > p.size.min_bytes ? ` to ${bytes(p.size.max_bytes)}` : ""}` : "";
  const rates = p.rate.map(([, r]) => r);
  const load = rates.length ? `${short(rates[0])}${rates.length > 1 ? ` to ${short(rates[rates.length - 1])}` : ""} events/s ${p.arrival ?? ""}${size}` : "publishes nothing";
  const topics = `${count(p.topics)} topic${p.topics === 1 ? "" : "s"}`;
  return `${count(p.subscribers)} subscribers · ${load}, ${topics} · ${length(p.phases.measure_ns)}${p.phases.warmup_ns ? ` after ${length(p.phases.warmup_ns)} warm-up` : ""}`;
}

function verdict(one) {
  const { status, reasons } = one.run.verdict;
  const says = { valid: "Nothing speaks against this measurement.", suspect: "The figures hold, with reservations.", invalid: "The figures describe the rig or a broken run, not the server." }[status];
  return el("div", { class: `verdict ${status}`, role: "note" },
    el("p", {}, el("span", { class: `word ${status}` }, status.toUpperCase()), single(state) ? " " : ` ${one.name}. `, says, one.run.interrupted ? " The run was interrupted; objectives were not judged." : ""),
    reasons.length ? el("ul", {}, reasons.map((reason) => el("li", {}, el("code", {}, reason.code), " ", reason.text))) : null);
}

function heading() {
  const first = state.runs[0].run;
  const title = single(state) ? state.runs[0].name : `${state.runs.length} runs compared`;
  const plans = [...new Set(state.runs.map(({ run }) => plan(run)))];
  const verdicts = single(state) ? [verdict(state.runs[0])] : sameVerdict();
  return [
    el("p", { class: "made" }, `${first.tool.name} ${first.tool.version} · ${utc(first.started_unix_ns)}${first.target.loopback ? " · loopback" : ""}`),
    el("h1", {}, title),
    el("p", { class: "plan" }, plans.length === 1 ? plans[0] : "The plans differ: see below before comparing."),
    verdicts,
    single(state) ? tiles(state.runs[0]) : null,
  ].flat().filter(Boolean);
}

// Runs of one kind usually share their reservations: then one banner speaks for all.
function sameVerdict() {
  const key = ({ run }) => JSON.stringify([run.verdict, run.interrupted]);
  const groups = new Map();
  for (const one of state.runs) groups.set(key(one), [...(groups.get(key(one)) ?? []), one]);
  return [...groups.values()].map((group) => verdict({ run: group[0].run, name: group.length === state.runs.length ? "All runs alike" : group.map((one) => one.name).join(", ") }));
}

function tiles(one) {
  const { run, histograms } = one;
  const name = headlineOf(run);
  const delivery = histograms[name];
  const [per, all] = name === "delivery" ? ["delivery", "last"] : ["after the first arrival", "spread"];
  const tile = (label, parts, note, bad) => (parts ? el("div", {}, el("dt", {}, label), el("dd", { class: bad ? "bad" : null }, parts[0], " ", el("small", {}, parts[1])), note ? el("dd", { class: "note" }, note) : null) : null);
  const timed = (value) => (unknown(value) ? null : timeParts(value));
  const s = run.server;
  const lost = run.counts.lost;
  const memory = s?.mem_per_conn;
  const figures = [
    tile(`p50 ${per}`, timed(percentile(delivery, 50)), name === "delivery" ? "planned publish time to each subscriber" : "first arrival anywhere to each subscriber"),
    tile(`p99 ${per}`, timed(percentile(delivery, 99)), delivery ? `max ${time(delivery.max)}` : null),
    tile(all === "last" ? "p50 time to the last" : "p50 spread", timed(percentile(histograms[all], 50)), all === "last" ? "until every subscriber has the event" : "first to last arrival of an event"),
    tile("deliveries", unknown(run.rates.deliveries) ? null : [shortParts(run.rates.deliveries)[0], shortParts(run.rates.deliveries)[1] + "/s"], `${count(run.counts.unique)} in all`),
    tile("lost", unknown(lost) ? ["unknown", ""] : [count(lost), ""], unknown(run.counts.expected) ? null : `of ${count(run.counts.expected)} due`, lost > 0),
    tile("CPU per delivery", timed(s?.cpu_per_delivery_ns), "server, kernel included"),
    tile("memory per connection", unknown(memory?.pss) ? null : bytesParts(memory.pss), unknown(memory?.kernel) ? null : `and ${bytes(memory.kernel)} in the kernel`),
    tile("subscribers up", [count(run.connect.up), ""], `of ${count(run.connect.asked)} asked`, run.connect.up < run.connect.asked),
  ].filter(Boolean);
  // Full rows: four to a row when that comes out even, else three.
  return el("dl", { class: figures.length % 4 && figures.length > 4 ? "tiles three" : "tiles" }, figures);
}

/* Comparison ---------------------------------------------------------------------- */

const COMPARED = [
  ["p50", (r, h) => percentile(h[headlineOf(r)], 50), time, -1], ["p99", (r, h) => percentile(h[headlineOf(r)], 99), time, -1], ["max", (r, h) => h[headlineOf(r)]?.max, time, -1],
  ["p50 to last", (r, h) => percentile(h.last ?? null, 50), time, -1], ["p50 spread", (r, h) => (h.last ? null : percentile(h.spread ?? null, 50)), time, -1],
  ["deliveries", (r) => r.rates.deliveries, rate, 1], ["lost", (r) => r.counts.lost, count, -1], ["CPU per delivery", (r) => r.server?.cpu_per_delivery_ns, time, -1],
  ["user memory per connection", (r) => r.server?.mem_per_conn.pss, bytes, -1], ["kernel memory per connection", (r) => r.server?.mem_per_conn.kernel, bytes, -1], ["connects", (r) => r.connect.achieved_rate, rate, 1],
];

function comparison(redraw) {
  if (single(state)) return null;
  const columns = COMPARED.map(([name, read, show, better]) => ({ name, show, better, values: state.runs.map(({ run, histograms }) => read(run, histograms) ?? null) })).filter(({ values }) => values.some((v) => v !== null));
  const rows = state.runs.map((one, i) => [
    el("label", {}, el("input", { type: "checkbox", checked: one.shown, "aria-label": `Show ${one.name}`, "data-keep": "run-" + i, onchange: (event) => { one.shown = event.target.checked; redraw(); } }), " ", el("span", { class: "swatch", style: `background:${one.color}` }), one.name),
    el("span", { class: one.run.verdict.status }, one.run.verdict.status),
    ...columns.map(({ values, show, better }) => {
      const known = values.filter((v) => v !== null);
      const [best, most] = [better < 0 ? Math.min(...known) : Math.max(...known), Math.max(...known)];
      const value = values[i];
      if (value === null) return el("span", { class: "none" }, "n/a");
      const differs = new Set(known.map(show)).size > 1;
      return { text: [show(value), most > 0 && differs ? el("span", { class: "meter", style: `width:${Math.max(1, (value / most) * 100).toFixed(1)}%;color:${one.color}` }) : null], class: differs && show(value) === show(best) ? "best" : null };
    }),
  ]);
  const plans = new Set(state.runs.map(({ run }) => plan(run)));
  return section("compare", "Side by side", "Bold is the best of its column; the strokes compare sizes. Whether a difference is more than chance: downpour-load diff.",
    table(["run", "verdict", ...columns.map(({ name }) => name)], rows, "Runs side by side"),
    plans.size > 1 ? el("ul", {}, state.runs.map(({ run, name }) => el("li", {}, `${name}: ${plan(run)}`))) : null);
}

/* Objectives, rig, plan, words -------------------------------------------------------- */

function objectives() {
  const runs = shown(state);
  const exprs = [...new Set(runs.flatMap(({ run }) => run.slo.map(({ expr }) => expr)))];
  if (!exprs.length) return null;
  const outcome = (run, expr) => {
    const slo = run.slo.find((one) => one.expr === expr);
    if (!slo) return "";
    const timed = /^[a-z_.]+\.(p[\d.]+|mean|max|min|stddev)|cpu_per_delivery/.test(expr);
    const [word, kind] = slo.ok === true ? ["met", "valid"] : slo.ok === false ? ["breached", "invalid"] : ["not judged", "quiet"];
    return [unknown(slo.value) ? "" : (timed ? time : plain)(slo.value) + "  ", el("b", { class: kind }, word)];
  };
  return section("objectives", "Objectives", "What the server was asked to hold. An objective is judged only on a complete run that has the figure.",
    table(["", ...runs.map(({ name }) => name)], exprs.map((expr) => [el("code", {}, expr), ...runs.map(({ run }) => outcome(run, expr))]), "Objectives"));
}

function facts(entries) {
  return el("dl", { class: "facts" }, entries.filter(([, value]) => !unknown(value) && value !== "" && value !== "n/a").map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function about({ run, name }) {
  const { rig, clock, target, plan: p } = run;
  const rx = { kernel: "kernel receive stamp", user: "read in user space; the load generator's own delay is inside" }[clock.rx] ?? clock.rx;
  const mode = { single: "one machine publishes and receives", swarm: "each machine times its own events", offset: "clocks compared over the network", none: "no publisher's clock: relative figures only" }[clock.mode] ?? clock.mode;
  const hiccup = run.metrics["rig.hiccup"];
  const hold = run.metrics["client.hold"];
  const slip = run.metrics["publish.slip"];
  return el("div", {}, single(state) ? null : el("h3", {}, name),
    el("div", { class: "two" },
      facts([["target", target.url], ["publish to", target.publish_url], ["profile", target.profile], ["protocol", target.http ? `HTTP/${target.http}${target.tls ? ", " + target.tls : ""}` : null], ["path", target.loopback ? "loopback: no wire, no interrupts" : null], ["plan", plan(run)], ["connect plan", unknown(p.connect_rate) ? "as fast as possible" : rate(p.connect_rate)], ["horizon", length(p.horizon_ns)], ["stamp", p.stamp], ["arrival is", rx], ["clock", mode], ["seed", String(run.seed)], ...Object.entries(run.labels)]),
      facts([["machine", [rig.cpu_model, rig.cpu_count ? `${rig.cpu_count} CPUs` : null, unknown(rig.memory_bytes) ? null : bytes(rig.memory_bytes)].filter(Boolean).join(", ")], ["kernel", rig.kernel], ["governor", rig.governor], ["pinned to", rig.cpus.length ? `CPU ${rig.cpus.join(", ")}` : null], ["busiest thread", percent(rig.busiest_thread)], ["waited for a CPU", time(rig.runqueue_wait_ns)], ["own lateness", slip ? `publish slip p50 ${time(percentile(state.runs.find((r) => r.run === run).histograms["publish.slip"], 50))}, max ${time(slip.max)}` : null], ["client hold", hold ? `max ${time(hold.max)}` : null], ["hiccups", hiccup ? `max ${time(hiccup.max)}` : null], ["softnet drops", count(rig.softnet.dropped)], ["steal", percent(rig.steal)], ["rig floor", rig.floor ? `p99 ${time(rig.floor.p99)} (${rig.floor.source})` : null], ...Object.entries(rig.limits)])),
    run.command.length ? [el("div", { class: "bar" }, el("b", {}, "To run it again"), el("button", { type: "button", onclick: (event) => copy(shell(run.command), event.target) }, "Copy")), el("pre", {}, shell(run.command))] : null,
    run.notes.length ? el("ul", {}, run.notes.map((note) => el("li", {}, note))) : null);
}

const shell = (words) => words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");

function setup() {
  return section("setup", "Plan and rig", "What was asked for, on what, and how well the load generator itself kept up.", state.runs.map(about));
}

function words() {
  const used = DEFINITIONS.filter((one) => state.runs.some(({ run }) => run.metrics[one.name]));
  return used.length ? section("words", "What the names mean", null, el("dl", { class: "facts" }, used.map((one) => [el("dt", {}, el("code", {}, one.name)), el("dd", {}, one.text + ".")]))) : null;
}

/* Actions ------------------------------------------------------------------------------- */

async function copy(text, button) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without clipboard rights (a page from disk in some browsers) the old way still works.
    const area = el("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = said), 1500);
}

function save(name, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text])), download: name.replace(/[^\w.()-]+/g, "-") });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function open(files) {
  for (const file of files) {
    try {
      await add(JSON.parse(await file.text()));
    } catch (error) {
      alert(`${file.name} is not a run written by --json: ${error.message}`);
    }
  }
  render();
}

/* Drawing ---------------------------------------------------------------------------------- */

function render() {
  const kept = document.activeElement?.dataset?.keep;
  document.getElementById("top").replaceChildren(...heading());
  const sections = [comparison(render), objectives(), latency(state, render), percentileTable(state), heat(state), events(state), throughput(state), fairness(state), integrity(state), storm(state), slow(state), connects(state), server(state), setup(), words()].filter(Boolean);
  const main = document.getElementById("main");
  main.replaceChildren(...sections);
  main.removeAttribute("aria-busy");
  document.getElementById("contents").replaceChildren(...sections.map((node) => el("a", { href: "#" + node.id }, { latency: "Latency", percentiles: "Percentiles", time: "Over time", events: "Events", throughput: "Rate", fairness: "Fairness", integrity: "Integrity", storm: "Storm", slow: "Slow readers", connects: "Connecting", server: "Server", setup: "Setup", words: "Words", compare: "Side by side", objectives: "Objectives" }[node.id])));
  document.getElementById("bottom").replaceChildren(
    el("label", { class: "file" }, "Compare with another run…", el("input", { type: "file", accept: ".json", multiple: true, onchange: (event) => open(event.target.files) })),
    " or drop its .json anywhere on this page. Nothing leaves this computer.");
  if (kept) document.querySelector(`[data-keep="${CSS.escape(kept)}"]`)?.focus({ preventScroll: true });
}

document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("drop"); });
document.addEventListener("dragleave", () => document.body.classList.remove("drop"));
document.addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("drop"); open(event.dataTransfer.files); });

async function start() {
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("main").replaceChildren(el("p", {}, "This browser cannot unpack the histograms (it lacks DecompressionStream, in all browsers since 2023). The text report shows the same figures: downpour-load report."));
    return;
  }
  for (const run of embedded.runs) await add(run);
  state.metric = headlineOf(state.runs[0].run) ?? state.metric;
  render();
}

start().catch((error) => document.getElementById("main").replaceChildren(el("p", { class: "bad" }, `The report could not be drawn: ${error.message}`)));
