// Figures as text, in the same form as the text report: three digits, the unit beside them.

function digits(value) {
  const size = Math.abs(value);
  if (size >= 999.5) return Math.round(value).toLocaleString("en-US");
  const decimals =
    size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 || size === 0 ? 2 : size >= 0.09995 ? 3 : 4;
  return value.toFixed(decimals);
}

// [number, unit] of a time in nanoseconds.
function timeParts(ns) {
  if (ns < 1e3) return [String(Math.round(ns)), "ns"];
  if (ns < 999.5e3) return [digits(ns / 1e3), "µs"];
  if (ns < 999.5e6) return [digits(ns / 1e6), "ms"];
  return [digits(ns / 1e9), "s"];
}

const unknown = (value) => value === null || value === undefined;
const orNone = (show) => (value) => (unknown(value) ? "n/a" : show(value));
const time = orNone((ns) => timeParts(ns).join(" "));
const count = orNone((n) => Math.round(n).toLocaleString("en-US"));
const percent = orNone((share) => digits(share * 100) + " %");
const plain = orNone((value) => (Number.isInteger(value) ? count(value) : digits(value)));

// The same for the ticks of an axis, which are round: without digits that are always zero.
const trimmed = (number) => (number.includes(".") ? number.replace(/\.?0+$/, "") : number);
const tickTime = (ns) =>
  ns === 0
    ? "0"
    : timeParts(ns)
        .map((part, i) => (i ? part : trimmed(part)))
        .join(" ");
const tickRate = (value) => (value === 0 ? "0" : rate(value));
const tickBytes = (value) =>
  value === 0
    ? "0"
    : bytesParts(value)
        .map((part, i) => (i ? part : trimmed(part)))
        .join(" ");
const tickPlain = (value) => trimmed(digits(value));

// A range with its unit once: 3.04 – 3.07 ms.
function span([low, high]) {
  const [a, b] = [timeParts(low), timeParts(high)];
  return a[1] === b[1] ? `${a[0]} – ${b[0]} ${b[1]}` : `${a.join(" ")} – ${b.join(" ")}`;
}

function scaled(value, base, units) {
  let i = 0;
  while (Math.abs(value) >= base * 0.9995 && i < units.length - 1) {
    value /= base;
    i += 1;
  }
  const number = Number.isInteger(value) && Math.abs(value) < 1000 ? String(value) : digits(value);
  return [number, units[i]];
}
const shortParts = (value) => scaled(value, 1000, ["", "k", "M", "G"]);
const bytesParts = (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
const short = orNone((value) => shortParts(value).join(" ").trim());
const bytes = orNone((value) => bytesParts(value).join(" "));
const rate = orNone((value) => short(value) + "/s");

// A length as it was planned: no digits that were never there.
const length = orNone((ns) => {
  const seconds = ns / 1e9;
  if (seconds >= 120) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return seconds >= 1 ? `${Number(seconds.toFixed(2))} s` : time(ns);
});

const seconds = (value) => `${value < 0 ? "−" : ""}${Number(Math.abs(value).toFixed(2))} s`;
const utc = (unixNs) => new Date(unixNs / 1e6).toISOString().replace("T", " ").slice(0, 19) + " UTC";
