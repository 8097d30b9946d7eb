// Several servers side by side: the table, what each costs, and the way to every single run.
//
// An entry of a comparison is a server with all of its rounds; a figure is the median of its rounds
// and its ratio to the floor is taken within each round. The rows are those of the Markdown table
// (src/report/comparison.rs) and are computed anew from the runs in this page.

const median = (values) => {
  const sorted = values.filter((v) => !unknown(v)).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (!sorted.length) return null;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const headlineAt = (p) => (run, histograms) => percentile(histograms[headlineOf(run)], p);
const lastAt = (p) => (run, histograms) => percentile(histograms.last, p);

// Title, how a run is read, how a value is shown (as number and unit), whether less is better
// (null: neither), and whether the ratio to the floor says something.
const COMPARED = [
  ["deliveries per CPU-second", (r) => perCpuSecond(r), shortParts, false, true],
  ["CPU cores busy", (r) => r.server?.cores, (v) => [plain(v), ""], null, false],
  ["to each subscriber, p50", headlineAt(50), timeParts, true, true],
  ["to each subscriber, p99", headlineAt(99), timeParts, true, true],
  ["to each subscriber, p99.9", headlineAt(99.9), timeParts, true, true],
  ["to the last subscriber, p50", lastAt(50), timeParts, true, true],
  ["to the last subscriber, p90", lastAt(90), timeParts, true, true],
  ["first to last, p50", (r, h) => (h.last ? null : percentile(h.spread, 50)), timeParts, true, true],
  ["user memory per subscriber", (r) => r.server?.mem_per_conn.pss, bytesParts, true, false],
  ["kernel memory per subscriber, both ends", (r) => r.server?.mem_per_conn.kernel, bytesParts, true, true],
  ["bytes on the wire per delivery", (r) => wireBytes(r), bytesParts, null, false],
].map(([title, read, parts, less, hasRatio]) => ({ title, read, parts, less, hasRatio }));

// A range with its unit once, where both ends have the same.
function range(parts, low, high) {
  const [a, b] = [parts(low), parts(high)];
  return a[1] === b[1] ? `${a[0]} – ${b.join(" ")}`.trim() : `${a.join(" ")} – ${b.join(" ")}`;
}

const perCpuSecond = (run) => {
  const cost = run.server?.cpu_per_delivery_ns;
  return cost > 0 ? 1e9 / cost : null;
};

const wireBytes = ({ rates }) =>
  rates.deliveries > 0 && !unknown(rates.wire_bytes) ? rates.wire_bytes / rates.deliveries : null;

const valuesOf = (one, read) =>
  one.rounds.map(({ run, histograms }) => read(run, histograms)).filter((v) => !unknown(v));

const roundOf = ({ run }) => run.labels.round ?? "";

const floorOf = (state) => state.runs.find((one) => one.isFloor);

// The median over rounds of a server's figure against the mean of the floor's runs in that round.
function ratioToFloor(state, one, { read, hasRatio }) {
  const floor = floorOf(state);
  if (!floor || floor === one || !hasRatio) return null;
  const mean = (side, round) => {
    const values = valuesOf({ rounds: side.rounds.filter((entry) => roundOf(entry) === round) }, read);
    return values.length ? values.reduce((a, b) => a + b) / values.length : null;
  };
  const rounds = [...new Set(one.rounds.map(roundOf))];
  return median(
    rounds.map((round) => {
      const [value, below] = [mean(one, round), mean(floor, round)];
      return unknown(value) || !(below > 0) ? null : value / below;
    }),
  );
}

const total = (one, read) => {
  const values = one.rounds.map(({ run }) => read(run.counts));
  return values.some(unknown) ? null : values.reduce((a, b) => a + b, 0);
};

function comparison(redraw) {
  if (single(state)) return null;
  const plans = new Set(state.runs.map(({ run }) => plan(run)));
  const rows = COMPARED.map((row) => ({
    ...row,
    values: state.runs.map((one) => median(valuesOf(one, row.read))),
  })).filter(({ values }) => values.some((v) => v !== null));
  const numbers = (name, read, bad) => [
    name,
    ...state.runs.map((one) => {
      const n = total(one, read);
      return unknown(n)
        ? el("span", { class: "none" }, "unknown")
        : { text: count(n), class: bad && n > 0 ? "bad" : null };
    }),
  ];
  const cut = (counts) => Object.values(counts.disconnects).reduce((a, b) => a + b, 0);
  return section(
    "compare",
    "Side by side",
    [
      plans.size > 1
        ? "The plans differ, so no figure here is better than another; the strokes compare sizes."
        : "Bold is the best of its row, the strokes compare sizes.",
      floorOf(state) ? ` × is the ratio to ${floorOf(state).name} in the same round.` : "",
      state.runs.some((one) => one.rounds.length > 1) ? " Figures are medians of the rounds; small: lowest to highest." : "",
    ].join(""),
    el(
      "div",
      { class: "sides", style: `--sides:${state.runs.length}` },
      table(
        ["", ...state.runs.map((one, i) => sideHead(one, i, redraw))],
        [
          ...rows.map((row) => [
            row.title,
            ...state.runs.map((one, i) => comparedCell(one, i, row, plans.size === 1)),
          ]),
          numbers("lost", (counts) => counts.lost, true),
          ...(state.runs.some((one) => total(one, cut)) ? [numbers("subscribers cut", cut, true)] : []),
          numbers("deliveries measured", (counts) => counts.unique),
          ["verdict", ...state.runs.map(verdictCell)],
        ],
        "Servers side by side",
      ),
    ),
    plans.size > 1
      ? el(
          "ul",
          {},
          state.runs.map(({ run, name }) => el("li", {}, `${name}: ${plan(run)}`)),
        )
      : null,
  );
}

function sideHead(one, i, redraw) {
  const toggle = (event) => {
    one.shown = event.target.checked;
    redraw();
  };
  const box = {
    type: "checkbox",
    checked: one.shown,
    "aria-label": `Show ${one.name} in the charts`,
    "data-keep": "run-" + i,
    onchange: toggle,
  };
  const version = one.run.labels.version;
  return [
    el(
      "label",
      {},
      el("input", box),
      " ",
      el("span", { class: "swatch", style: `background:${one.color}` }),
      one.name,
    ),
    version ? el("small", {}, version) : null,
  ];
}

function comparedCell(one, i, row, comparable) {
  const { values, parts } = row;
  const show = (v) => parts(v).join(" ").trim();
  const value = values[i];
  if (value === null) return el("span", { class: "none" }, "n/a");
  const known = values.filter((v) => v !== null);
  const most = Math.max(...known);
  const differs = new Set(known.map(show)).size > 1;
  // The floor is no server: it sets the measure and does not compete.
  const rivals = values.filter((v, k) => v !== null && !state.runs[k].isFloor);
  const best = row.less === null || rivals.length < 2 ? null : row.less ? Math.min(...rivals) : Math.max(...rivals);
  const ratio = ratioToFloor(state, one, row);
  const rounds = valuesOf(one, row.read);
  const width = Math.max(1, (value / most) * 100).toFixed(1);
  const apart = rounds.length > 1 && show(Math.min(...rounds)) !== show(Math.max(...rounds));
  return {
    text: [
      show(value),
      unknown(ratio) ? null : el("span", { class: "ratio" }, `${ratio.toFixed(2)} ×`),
      differs && most > 0
        ? el("span", { class: "meter", style: `width:${width}%;color:${one.color}` })
        : null,
      apart ? el("small", {}, range(parts, Math.min(...rounds), Math.max(...rounds))) : null,
    ],
    class: comparable && differs && !one.isFloor && best !== null && show(value) === show(best) ? "best" : null,
  };
}

const GRADES = ["valid", "suspect", "invalid"];
const gradeOf = (one) => Math.max(...one.rounds.map(({ run }) => GRADES.indexOf(run.verdict.status)));

function verdictCell(one) {
  const worst = GRADES[gradeOf(one)];
  const alike = one.rounds.filter(({ run }) => run.verdict.status === worst).length;
  return {
    text: el("span", { class: worst }, worst),
    note: alike < one.rounds.length ? `${alike} of ${one.rounds.length}` : null,
  };
}

/* What each costs: a bar for the median, a stroke for each round, a rule at the floor. */

const COSTS = [
  ["Server CPU for one delivery", "full: in the process, light: in the kernel", (r) => r.server?.cpu_per_delivery_ns, time, userShare],
  ["Time to the last subscriber, p50", "until everybody has the event", lastAt(50), time],
  ["Time to each subscriber, p99", "of all deliveries", headlineAt(99), time],
  ["User memory of one subscriber", "growth of the server's processes", (r) => r.server?.mem_per_conn.pss, bytes],
  ["Kernel memory of one subscriber", "both ends of the connection", (r) => r.server?.mem_per_conn.kernel, bytes],
  ["Deliveries for one CPU-second", "more is better", perCpuSecond, short],
];

function userShare({ server }) {
  const { user, sys } = server.cpu_ns;
  return user + sys > 0 ? user / (user + sys) : 1;
}

function costs(state) {
  if (single(state)) return null;
  const charts = COSTS.map((cost) => ranking(state, ...cost)).filter(Boolean);
  if (!charts.length) return null;
  const several = state.runs.some((one) => one.rounds.length > 1);
  return section(
    "costs",
    "What it costs",
    `Bars start at zero${several ? ": the median of all rounds, with a stroke for each" : ""}${floorOf(state) ? `; the dashed rule is ${floorOf(state).name}` : ""}.`,
    el("div", { class: "multiples" }, charts),
  );
}

function ranking(state, title, note, read, show, part) {
  const rows = shown(state)
    .map((one) => ({ one, values: valuesOf(one, read) }))
    .filter(({ values }) => values.length);
  if (!rows.length) return null;
  const most = Math.max(1e-9, ...rows.flatMap(({ values }) => values));
  const share = (value) => ((Math.max(0, value) / most) * 100).toFixed(2) + "%";
  const floor = rows.find(({ one }) => one.isFloor);
  const rule = floor ? el("i", { class: "rule", style: `left:${share(median(floor.values))}` }) : null;
  const line = ({ one, values }) => {
    const middle = median(values);
    const solid = part ? middle * median(one.rounds.filter(({ run }) => run.server).map(({ run }) => part(run))) : middle;
    return el(
      "li",
      {},
      el("span", { class: "who" }, one.name),
      el(
        "span",
        { class: "track", "aria-hidden": "true" },
        el("i", { class: "fill light", style: `width:${share(middle)};background:${one.color}` }),
        el("i", { class: "fill", style: `width:${share(solid)};background:${one.color}` }),
        values.length > 1 ? values.map((v) => el("i", { class: "stroke", style: `left:${share(v)}` })) : null,
        rule?.cloneNode(),
      ),
      el("span", { class: "what" }, show(middle)),
    );
  };
  return el(
    "div",
    { class: "ranking" },
    el("h3", {}, title, " ", el("small", {}, note)),
    el("ul", {}, rows.map(line)),
  );
}

/* Every single run, a link to all of its plots. */

function runList(state) {
  if (single(state)) return null;
  const rounds = [...new Set(state.runs.flatMap((one) => one.rounds.map(roundOf)))];
  const link = (entry) =>
    el(
      "a",
      { href: "#run-" + entry.id, "data-view": true, class: "run " + entry.run.verdict.status },
      time(percentile(entry.histograms[headlineOf(entry.run)], 99)),
      el("span", { class: "unseen" }, `, ${entry.run.verdict.status}`),
    );
  const repeats = rounds.some((round) => round !== "");
  return section(
    "runs",
    "Every run",
    "p99 of each run, coloured by its verdict. Follow one to its own plots: latency over time, events, fairness, faults, connecting, cost.",
    table(
      [repeats ? "server" : "run", ...(repeats ? rounds.map((round) => `round ${round}`) : ["p99"])],
      state.runs.map((one) => [
        [el("span", { class: "swatch", style: `background:${one.color}` }), one.name],
        ...rounds.map((round) =>
          el("span", { class: "links" }, one.rounds.filter((entry) => roundOf(entry) === round).map(link)),
        ),
      ]),
      "Every run",
    ),
  );
}
