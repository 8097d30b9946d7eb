// What all sections share: runs and their spans, headings, keys.
//
// state: { all, groups, alone, runs, metric, logarithmic }. `all` are the runs of the page, `groups`
// the servers that they are of, `alone` the run that is looked at by itself, and `runs` what is
// shown: that run, or the groups. An entry of any of them is { run, name, color, shown, histograms,
// columns, rounds, isFloor }: a group has the histograms of all its rounds together, and as `run`
// and `columns` those of the round that stands for it. A section is a function from the state to a
// section element, or null when no run has anything to show in it.

const meaning = (name) => DEFINITIONS.find((one) => one.name === name);

const headlineOf = (run) => ["delivery", "delivery.relative"].find((name) => run.metrics[name]);

const spanOf = (run, phase) => run.timeline.find((span) => span.phase === phase);

const originOf = (run) => spanOf(run, "measure")?.start_ns ?? 0;

const since = (run, ns) => (ns - originOf(run)) / 1e9;

const shown = (state) => state.runs.filter((one) => one.shown);

const single = (state) => state.runs.length === 1 && state.runs[0].rounds.length === 1;

function section(id, title, lead, ...content) {
  return el(
    "section",
    { id, "aria-labelledby": id + "-title" },
    el("h2", { id: id + "-title" }, title),
    lead ? el("p", {}, lead) : null,
    content,
  );
}

function keyLine(color, dash) {
  return svg(
    "svg",
    { width: 22, height: 8, "aria-hidden": "true" },
    svg("path", {
      d: "M0 4H22",
      style: `stroke:${color};stroke-width:2.4;${dash ? `stroke-dasharray:${dash}` : ""}`,
    }),
  );
}

const keys = (entries) =>
  el(
    "ul",
    { class: "legend" },
    entries.map(([name, color, dash]) =>
      el("li", {}, el("span", { class: "key" }, keyLine(color, dash), name)),
    ),
  );

const runKeys = (state) =>
  single(state) ? null : keys(shown(state).map((one) => [one.name, one.color, dashOf(one)]));

// The floor is no server: its lines are dashed.
const dashOf = (one) => (one.isFloor && !state.alone ? "6 4" : null);

// The entry whose place is nearest; the cross-hair of one run rests on the entries of another.
const nearestBy = (list, place, at) =>
  list.reduce(
    (best, entry) => (Math.abs(place(entry) - at) < Math.abs(place(best) - at) ? entry : best),
    list[0],
  );

const longestBy = (list, size) => list.reduce((a, b) => (size(b) > size(a) ? b : a));
