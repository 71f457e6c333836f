// Prometheus' text format, as far as onnxd writes it.

const SERIES = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

// Every series of the families that `wanted` has: name to a list of { labels, value }.
export function parse(text, wanted) {
  const families = new Map();
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    const found = line.match(SERIES);
    if (!found || !wanted.has(found[1])) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) {
      labels[name] = value.replace(/\\./g, (escaped) => ESCAPES[escaped] ?? escaped);
    }
    if (!families.has(found[1])) families.set(found[1], []);
    families.get(found[1]).push({ labels, value: Number(found[3].replace("Inf", "Infinity")) });
  }
  return families;
}

// The value below which a share of the observations lies, taken as evenly spread within a bucket, as
// PromQL's histogram_quantile has it. `buckets`: cumulative counts by upper bound, in rising order.
// Null where nothing was observed; a value in the last bucket is its lower bound.
export function quantile(share, buckets) {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (!(total > 0)) return null;
  const wanted = share * total;
  let [below, before] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= wanted) {
      if (bound === Infinity) return below;
      const within = count > before ? (wanted - before) / (count - before) : 1;
      return below + (bound - below) * within;
    }
    [below, before] = [bound, count];
  }
  return below;
}
