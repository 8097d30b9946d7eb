// Histograms in the page: decodes the compressed V2 encoding of HdrHistogram and reads
// percentiles, so that every figure shown comes from the data itself.
//
// A decoded histogram is { n, max, min, mean, values: [...], counts: [...] } with values
// ascending; a value is the highest that its bucket stands for, as in the Rust library.

"use strict";

const COOKIE_COMPRESSED = 0x1c849304;
const COOKIE_PLAIN = 0x1c849303;
// Bits of the cookie that hold the word size of older versions and carry no meaning in V2.
const COOKIE_WORD_BITS = 0xf0;
const HEADER_BYTES = 40;

// Samples that must lie above a percentile before it is shown; the same rule as in the files.
const TAIL_SAMPLES_MIN = 10;

const cookie = (view) => (view.getUint32(0) & ~COOKIE_WORD_BITS) >>> 0;

async function decodeHistogram(blob) {
  const packed = Uint8Array.from(atob(blob.data), (letter) => letter.charCodeAt(0));
  const outer = new DataView(packed.buffer);
  if (cookie(outer) !== COOKIE_COMPRESSED) throw new Error("not a compressed V2 histogram");
  const length = outer.getUint32(4);
  const inflated = new Blob([packed.subarray(8, 8 + length)])
    .stream()
    .pipeThrough(new DecompressionStream("deflate"));
  return readPlain(new Uint8Array(await new Response(inflated).arrayBuffer()));
}

function readPlain(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (cookie(view) !== COOKIE_PLAIN) throw new Error("not a V2 histogram");
  const end = HEADER_BYTES + view.getUint32(4);
  const digits = view.getUint32(12);
  const lowest = Math.max(1, Number(view.getBigUint64(16)));
  const unit = Math.floor(Math.log2(lowest));
  const halfMagnitude = Math.ceil(Math.log2(2 * 10 ** digits)) - 1;
  const half = 2 ** halfMagnitude;

  const values = [];
  const counts = [];
  let index = 0;
  let at = HEADER_BYTES;
  while (at < end) {
    // ZigZag LEB128 in at most nine bytes; the ninth has eight bits of data.
    let raw = 0;
    let scale = 1;
    for (let i = 0; i < 9; i++) {
      const byte = bytes[at++];
      raw += (i < 8 ? byte & 0x7f : byte) * scale;
      scale *= 128;
      if (i === 8 || byte < 0x80) break;
    }
    if (raw % 2 === 1) {
      index += (raw + 1) / 2; // a run of empty buckets
      continue;
    }
    if (raw > 0) {
      values.push(highestOf(index, unit, half));
      counts.push(raw / 2);
    }
    index += 1;
  }
  return summary(values, counts);
}

function highestOf(index, unit, half) {
  let bucket = Math.floor(index / half) - 1;
  let sub = (index % half) + half;
  if (bucket < 0) {
    bucket = 0;
    sub -= half;
  }
  const width = 2 ** (bucket + unit);
  return (sub + 1) * width - 1;
}

function summary(values, counts) {
  let n = 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    n += counts[i];
    sum += counts[i] * values[i];
  }
  return {
    n,
    values,
    counts,
    min: values[0] ?? 0,
    max: values[values.length - 1] ?? 0,
    mean: n ? sum / n : 0,
  };
}

// All samples of several histograms in one.
function sumOf(histograms) {
  if (histograms.length === 1) return histograms[0];
  const sum = new Map();
  for (const { values, counts } of histograms)
    values.forEach((value, i) => sum.set(value, (sum.get(value) ?? 0) + counts[i]));
  const values = [...sum.keys()].sort((a, b) => a - b);
  return summary(
    values,
    values.map((value) => sum.get(value)),
  );
}

// The value at a quantile (0 to 1), whatever the number of samples.
function valueAt(histogram, quantile) {
  const rank = Math.max(1, Math.min(histogram.n, Math.ceil(quantile * histogram.n)));
  let seen = 0;
  for (let i = 0; i < histogram.values.length; i++) {
    seen += histogram.counts[i];
    if (seen >= rank) return histogram.values[i];
  }
  return histogram.max;
}

// The percentile (0 to 100), or null when fewer than ten samples lie above it.
function percentile(histogram, percent) {
  if (!histogram || histogram.n === 0) return null;
  const tail = histogram.n * (1 - percent / 100);
  if (percent > 50 && tail + 1e-6 < TAIL_SAMPLES_MIN) return null;
  return valueAt(histogram, percent / 100);
}

// The spectrum as text, in the form that the HdrHistogram plotter reads (milliseconds).
function hgrm(histogram) {
  const lines = [" ".repeat(7) + "Value     Percentile TotalCount 1/(1-Percentile)", ""];
  let seen = 0;
  let i = 0;
  for (const quantile of spectrum(histogram.n)) {
    const rank = Math.max(1, Math.ceil(quantile * histogram.n));
    while (i < histogram.values.length && seen < rank) seen += histogram.counts[i++];
    const value = histogram.values[Math.max(0, i - 1)] / 1e6;
    let line = value.toFixed(6).padStart(12) + " " + quantile.toFixed(12) + " " + String(seen).padStart(10);
    if (quantile < 1) line += " " + (1 / (1 - quantile)).toFixed(2).padStart(14);
    lines.push(line);
  }
  const mean = histogram.mean;
  let squares = 0;
  histogram.values.forEach((value, k) => (squares += histogram.counts[k] * (value - mean) ** 2));
  const field = (value) => (value / 1e6).toFixed(6).padStart(12);
  lines.push(
    `#[Mean    = ${field(mean)}, StdDeviation   = ${field(Math.sqrt(squares / Math.max(1, histogram.n)))}]`,
  );
  lines.push(`#[Max     = ${field(histogram.max)}, Total count    = ${String(histogram.n).padStart(12)}]`);
  return lines.join("\n") + "\n";
}

// Quantiles that halve the distance to 1 in five steps each, as far as the samples carry.
function spectrum(n) {
  const out = [];
  let from = 0;
  for (let gap = 1; gap * n > 0.5 && gap > 1e-12; gap /= 2) {
    for (let step = 0; step < 5; step++) out.push(from + (gap / 2) * (step / 5));
    from = 1 - gap / 2;
  }
  out.push(1);
  return out;
}
