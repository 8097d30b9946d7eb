// Charts in plain SVG: scales, axes, layers, and a cross-hair that follows pointer and keyboard.
//
// A chart is a figure element. It draws itself for the width it is given and again when that
// changes; colours come from CSS variables, so themes and print need no redraw.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

/* Scales: at(value) is 0 to 1, back(share) the value, ticks(n) about n round values. */

function linearScale(min, max) {
  if (!(max > min)) max = min + 1;
  const ticks = (n) => {
    const raw = (max - min) / Math.max(1, n);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
    const out = [];
    for (let i = Math.ceil(min / step - 1e-9); i * step <= max * (1 + 1e-9) + 1e-12; i++) out.push(i * step);
    return out;
  };
  return { min, max, ticks, at: (v) => (v - min) / (max - min), back: (s) => min + s * (max - min) };
}

function logScale(min, max) {
  min = Math.max(min, 1e-9);
  if (!(max > min * 1.01)) max = min * 10;
  const [low, high] = [Math.log(min), Math.log(max)];
  const ticks = (n) => {
    const decades = (high - low) / Math.LN10;
    const steps = decades > n ? [1] : decades * 2 > n ? [1, 3] : [1, 2, 5];
    const every = decades > 2 * n ? 2 : 1;
    const out = [];
    for (let k = Math.floor(Math.log10(min)); k <= Math.ceil(Math.log10(max)); k += every) {
      for (const m of steps) {
        const value = m * 10 ** k;
        if (value >= min * 0.999 && value <= max * 1.001) out.push(value);
      }
    }
    // Less than a decade: round steps tell more than the one or two that are left.
    return out.length > 2 ? out : linearScale(min, max).ticks(n).filter((value) => value > 0);
  };
  return {
    min,
    max,
    ticks,
    at: (v) => (Math.log(Math.max(v, min)) - low) / (high - low),
    back: (s) => Math.exp(low + s * (high - low)),
  };
}

// Ticks that are round in powers of 1024.
function binaryTicks(scale, n) {
  const unit = 1024 ** Math.floor(Math.log2(Math.max(1, scale.max)) / 10);
  return linearScale(scale.min / unit, scale.max / unit)
    .ticks(n)
    .map((value) => value * unit);
}

// A scale that holds all values, with a little room; from zero when linear.
function scaleOver(values, logarithmic) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (unknown(value) || !Number.isFinite(value) || (logarithmic && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return linearScale(0, 1);
  return logarithmic ? logScale(low / 1.15, high * 1.15) : linearScale(Math.min(0, low), high * 1.06);
}

/* Layers: functions from a plot to SVG nodes. A plot maps values to pixels: x(v), y(v). */

const fixed = (value) => value.toFixed(1);

// About how wide a text of a chart is: a chart is drawn before it can be measured, and fonts differ.
const GLYPH_PIXELS = 7;
const textWidth = (text) => GLYPH_PIXELS * String(text).length;

const shortened = (text, room) =>
  textWidth(text) <= room ? text : text.slice(0, Math.max(1, Math.floor(room / GLYPH_PIXELS) - 1)) + "…";

function lineLayer(points, color, extra = "", dash = null) {
  return (plot) => {
    let path = "";
    let pen = false;
    for (const [x, y] of points) {
      if (unknown(y)) pen = false;
      else {
        path += (pen ? "L" : "M") + fixed(plot.x(x)) + " " + fixed(plot.y(y));
        pen = true;
      }
    }
    return svg("path", {
      class: "line " + extra,
      d: path,
      style: `stroke:${color};${dash ? `stroke-dasharray:${dash}` : ""}`,
    });
  };
}

function dotLayer(points, color) {
  return (plot) => {
    let path = "";
    for (const [x, y] of points) if (!unknown(y)) path += `M${fixed(plot.x(x))} ${fixed(plot.y(y))}h0`;
    // Few dots may be larger than many.
    const width = points.length > 300 ? 3 : 4.5;
    return svg("path", { class: "dots", d: path, style: `stroke:${color};stroke-width:${width}` });
  };
}

function bandLayer(points, color) {
  return (plot) => {
    const up = points.map(([x, , high]) => `${fixed(plot.x(x))} ${fixed(plot.y(high))}`);
    const down = points.map(([x, low]) => `${fixed(plot.x(x))} ${fixed(plot.y(low))}`).reverse();
    return points.length
      ? svg("path", { class: "band", d: "M" + up.concat(down).join("L") + "Z", style: `fill:${color}` })
      : null;
  };
}

function barLayer(bars, color) {
  return (plot) => {
    let path = "";
    for (const [from, to, value] of bars) {
      if (!value) continue;
      const [x0, x1, y] = [plot.x(from), plot.x(to), Math.min(plot.y(value), plot.y(plot.yMin) - 2)];
      path += `M${fixed(x0)} ${fixed(plot.y(plot.yMin))}V${fixed(y)}H${fixed(Math.max(x1 - 0.7, x0 + 1))}V${fixed(plot.y(plot.yMin))}Z`;
    }
    return svg("path", { class: "bars", d: path, style: `fill:${color}` });
  };
}

function ruleLayer(y, name) {
  return (plot) => [
    svg("path", { class: "rule", d: `M${plot.left} ${fixed(plot.y(y))}H${plot.right}` }),
    svg("text", { class: "rule-name", x: plot.right, y: plot.y(y) - 5, "text-anchor": "end" }, name),
  ];
}

// Things that happened at a time: [x, name]. Their names stand above the plot, each as far as the
// next leaves room for it; all of a name is in its title.
function marksLayer(marks) {
  const layer = (plot) => {
    const inside = marks
      .map(([x, name]) => ({ at: plot.x(x), name }))
      .filter(({ at }) => at >= plot.left && at <= plot.right)
      .sort((a, b) => a.at - b.at);
    let taken = plot.left - 5;
    return inside.flatMap(({ at, name }, i) => {
      const behind = (inside[i + 1]?.at ?? plot.right) - at - 8;
      const before = at - 8 - taken;
      const right = behind >= textWidth(name) || behind >= before;
      const said = shortened(name, right ? behind : before);
      taken = right ? at + 5 + textWidth(said) : at;
      const attributes = { class: "mark-name", x: at + (right ? 3 : -3), y: plot.top - 5 };
      return [
        svg("path", { class: "mark", d: `M${fixed(at)} ${plot.top - 3}V${plot.bottom}` }, svg("title", {}, name)),
        Math.max(behind, before) > 4 * GLYPH_PIXELS
          ? svg(
              "text",
              { ...attributes, "text-anchor": right ? "start" : "end" },
              said,
              said === name ? null : svg("title", {}, name),
            )
          : null,
      ];
    });
  };
  layer.headroom = marks.length ? 16 : 0;
  return layer;
}

function shadeLayer(from, to, name) {
  return (plot) => {
    const x0 = Math.max(plot.left, plot.x(from));
    const x1 = Math.min(plot.right, plot.x(to));
    if (x1 - x0 < 1) return null;
    return [
      svg("rect", { class: "outside", x: x0, y: plot.top, width: x1 - x0, height: plot.bottom - plot.top }),
      x1 - x0 > 7 * name.length ? svg("text", { class: "outside-name", x: x0 + 5, y: plot.bottom - 6 }, name) : null,
    ];
  };
}

// Counts of a histogram per column of time and step of latency. Each level of density is one
// path, so that a map of thousands of cells stays light and prints sharp.
const HEAT_LEVELS = 12;

function heatLayer(columns) {
  return (plot) => {
    const cell = 5;
    const rows = Math.max(1, Math.floor((plot.bottom - plot.top) / cell));
    const cells = columns.map(({ histogram }) => {
      const bins = new Map();
      histogram.values.forEach((value, i) => {
        const row = Math.min(rows - 1, Math.max(0, Math.floor((plot.bottom - plot.y(value)) / cell)));
        bins.set(row, (bins.get(row) ?? 0) + histogram.counts[i]);
      });
      return bins;
    });
    let most = 1;
    for (const bins of cells) for (const n of bins.values()) most = Math.max(most, n);
    const paths = Array(HEAT_LEVELS).fill("");
    columns.forEach(({ from, to }, i) => {
      const [x0, x1] = [plot.x(from), plot.x(to)];
      for (const [row, n] of cells[i]) {
        const share = most > 1 ? Math.log(n + 1) / Math.log(most + 1) : 1;
        const level = Math.min(HEAT_LEVELS - 1, Math.floor(share * HEAT_LEVELS));
        paths[level] +=
          `M${fixed(x0)} ${fixed(plot.bottom - row * cell)}H${fixed(x1 + 0.2)}v${-cell - 0.2}H${fixed(x0)}Z`;
      }
    });
    return paths.map((d, level) => {
      const strength = 0.07 + 0.93 * ((level + 1) / HEAT_LEVELS) ** 1.35;
      return d
        ? svg("path", { class: "heat", d, style: `fill:rgba(var(--heat),${strength.toFixed(3)})` })
        : null;
    });
  };
}

/* The chart itself. spec: { label, height, x, y, xShow, yShow, xName, yName, layers, stops, read }.
   stops are the x values that the cross-hair rests on; read(x) says what is there, as a list of
   { color, name, text } after a lead. */

function chart(spec) {
  const figure = el("figure", {
    tabindex: spec.stops?.length ? 0 : null,
    role: "group",
    "aria-label": spec.label,
  });
  const canvas = svg("svg", { role: "img", "aria-label": spec.label });
  const readout = el("p", { class: "readout" });
  figure.append(canvas, spec.stops?.length ? readout : "");
  let plot = null;
  let cross = null;
  let stop = -1;

  const draw = (paper) => {
    const width = Math.round(paper ?? figure.clientWidth);
    if (!width || plot?.width === width) return;
    plot = layout(spec, width);
    canvas.setAttribute("viewBox", `0 0 ${width} ${plot.height}`);
    cross = svg("path", { class: "cross" });
    const nodes = spec.layers.flatMap((layer) => layer(plot)).filter(Boolean);
    const isText = (node) => node.tagName === "text";
    // Words lie on top of every line.
    const [lines, words] = [nodes.filter((node) => !isText(node)), nodes.filter(isText)];
    canvas.replaceChildren(...axes(spec, plot), ...lines, ...words, cross);
    if (stop >= 0) show(stop, false);
  };

  const show = (index, aloud) => {
    stop = Math.max(0, Math.min(spec.stops.length - 1, index));
    const x = spec.stops[stop];
    cross.setAttribute("d", `M${fixed(plot.x(x))} ${plot.top}V${plot.bottom}`);
    figure.classList.add("on");
    const { lead, items } = spec.read(x, stop);
    readout.replaceChildren(
      el("b", {}, lead),
      ...items.flatMap(({ color, name, text }) => [
        color ? el("i", { style: `background:${color}` }) : "  ",
        name,
        " ",
        el("b", {}, text),
      ]),
    );
    if (aloud)
      document.getElementById("announce").textContent = [
        lead,
        ...items.map(({ name, text }) => `${name} ${text}`),
      ].join(", ");
  };

  const follow = (event) => {
    if (!plot || !spec.stops?.length) return;
    const box = canvas.getBoundingClientRect();
    const x = plot.back(((event.clientX - box.left) / box.width) * plot.width);
    show(nearest(spec.stops, x, spec.x), false);
  };
  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerdown", follow);
  canvas.addEventListener("pointerleave", () => figure.classList.remove("on"));
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
    if (!step || !spec.stops?.length || event.target !== figure) return;
    event.preventDefault();
    show(stop < 0 ? 0 : stop + step, true);
  });
  new ResizeObserver(() => draw()).observe(figure);
  figure.drawFor = draw;
  return figure;
}

// A sheet of paper is narrower than most screens; scaled down, the text would be too small.
const PAPER_PIXELS = 690;
const redrawAll = (width) => document.querySelectorAll("figure").forEach((figure) => figure.drawFor?.(width));
addEventListener("beforeprint", () => redrawAll(PAPER_PIXELS));
addEventListener("afterprint", () => redrawAll());

function layout(spec, width) {
  const height = spec.height ?? (width < 500 ? 230 : 300);
  const ticks = yTicksOf(spec);
  const left = Math.max(52, ...ticks.map((value) => textWidth(spec.yShow(value)) + 9));
  const right = width - (spec.padRight ?? 8);
  const top = (spec.yName ? 24 : 10) + Math.max(0, ...spec.layers.map((layer) => layer.headroom ?? 0));
  const bottom = height - 38;
  const x = (value) => left + spec.x.at(value) * (right - left);
  const y = (value) => bottom - spec.y.at(value) * (bottom - top);
  const back = (px) => spec.x.back((px - left) / (right - left));
  return { width, height, left, right, top, bottom, x, y, back, yMin: spec.y.min };
}

const yTicksOf = (spec) => (spec.yTicks ? spec.yTicks(spec.y, 5) : spec.y.ticks(5));

function axes(spec, plot) {
  const nodes = [];
  for (const value of yTicksOf(spec)) {
    const at = fixed(plot.y(value));
    nodes.push(svg("path", { class: "grid", d: `M${plot.left} ${at}H${plot.right}` }));
    nodes.push(
      svg("text", { x: plot.left - 7, y: plot.y(value) + 4, "text-anchor": "end" }, spec.yShow(value)),
    );
  }
  const most = Math.max(2, Math.floor((plot.right - plot.left) / 72));
  const ticks = spec.xTicks ? spec.xTicks(most) : spec.x.ticks(most);
  let taken = 0;
  for (const value of ticks) {
    const at = fixed(plot.x(value));
    const shown = spec.xShow(value);
    const half = textWidth(shown) / 2;
    const x = Math.min(plot.x(value), plot.width - half);
    nodes.push(svg("path", { class: "grid", d: `M${at} ${plot.top}V${plot.bottom + 4}` }));
    if (x - half < taken) continue;
    taken = x + half + 4;
    nodes.push(svg("text", { x: fixed(x), y: plot.bottom + 18, "text-anchor": "middle" }, shown));
  }
  nodes.push(svg("path", { class: "frame", d: `M${plot.left} ${plot.bottom}H${plot.right}` }));
  if (spec.yName) nodes.push(svg("text", { x: 0, y: 11 }, spec.yName));
  if (spec.xName)
    nodes.push(svg("text", { x: plot.right, y: plot.height - 4, "text-anchor": "end" }, spec.xName));
  return nodes;
}

function nearest(stops, x, scale) {
  let best = 0;
  for (let i = 1; i < stops.length; i++) {
    if (Math.abs(scale.at(stops[i]) - scale.at(x)) < Math.abs(scale.at(stops[best]) - scale.at(x))) best = i;
  }
  return best;
}

/* Tables. A cell is text, a node, or { text, class, note, words }: whether the note may wrap. */

function table(head, rows, caption) {
  const cell = (tag, content, attributes = {}) => {
    const plainCell =
      content === null || typeof content !== "object" || content instanceof Node || Array.isArray(content);
    if (plainCell) return el(tag, attributes, content);
    return el(
      tag,
      { ...attributes, class: content.class },
      content.text,
      content.note ? el("small", content.words ? { class: "words" } : {}, content.note) : null,
    );
  };
  return el(
    "div",
    { class: head.length < 4 ? "wide narrow" : "wide", tabindex: 0, role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", { class: "unseen" }, caption),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head.map((content) => cell("th", content, { scope: "col" })),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            row.map((content, i) => cell(i ? "td" : "th", content, i ? {} : { scope: "row" })),
          ),
        ),
      ),
    ),
  );
}

function asTable(head, rows, caption) {
  let filled = false;
  const details = el("details", {}, el("summary", {}, "The same as a table"));
  details.addEventListener("toggle", () => {
    if (!filled) details.append(table(head, rows(), caption));
    filled = true;
  });
  return details;
}
