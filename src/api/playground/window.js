// What the server counted since the page was opened: one sample a second, and what lies between two.

import { parse } from "./prometheus.js";

const COUNTED = { onnxd_request_duration_seconds: "latency", onnxd_batch_size: "batch" };
const GAUGES = {
  onnxd_queue_depth: "queue",
  onnxd_in_flight: "inFlight",
  onnxd_sessions: "sessions",
};
const WANTED = new Set([
  ...Object.keys(GAUGES),
  ...Object.keys(COUNTED).flatMap((name) => [`${name}_bucket`, `${name}_sum`, `${name}_count`]),
  "onnxd_requests_total",
  "onnxd_saturation",
  "onnxd_stage_duration_seconds_sum",
  "onnxd_stage_duration_seconds_count",
  "onnxd_device_info",
  "onnxd_device_memory_bytes",
  "onnxd_connections",
  "onnxd_cores",
  "process_cpu_seconds_total",
  "process_resident_memory_bytes",
  "process_start_time_seconds",
]);

// How a request ended, as the page tells it.
const OUTCOMES = { ok: "answered", error: "failed" };

// The samples of the last while, and the first of all.
export class Window {
  // `seconds`: how long samples are kept.
  constructor(seconds) {
    this.seconds = seconds;
    this.samples = [];
    this.first = null;
  }

  // Adds what /metrics said at `time`, in seconds.
  add(time, text) {
    const sample = read(time, text);
    // Another process counts from zero.
    if (this.first && this.first.started !== sample.started) this.samples = [];
    if (!this.samples.length) this.first = sample;
    this.samples.push(sample);
    while (this.samples[0].time < time - this.seconds) this.samples.shift();
  }

  get last() {
    return this.samples.at(-1);
  }

  // The newest sample that is at least so many seconds older than the one at `index`.
  before(index, seconds) {
    const limit = this.samples[index].time - seconds;
    for (let at = index - 1; at >= 0; at -= 1) {
      if (this.samples[at].time <= limit) return this.samples[at];
    }
    return this.samples[0];
  }
}

function read(time, text) {
  const families = parse(text, WANTED);
  const series = (name) => families.get(name) ?? [];
  const single = (name) => series(name)[0]?.value ?? NaN;
  const models = new Map();
  const of = (name) => {
    if (!models.has(name)) models.set(name, empty());
    return models.get(name);
  };
  for (const { labels, value } of series("onnxd_requests_total")) {
    of(labels.model).requests[OUTCOMES[labels.outcome] ?? "refused"] += value;
  }
  for (const [family, name] of Object.entries(COUNTED)) {
    for (const { labels, value } of series(`${family}_bucket`)) {
      const bound = Number(labels.le.replace("+Inf", "Infinity"));
      const buckets = of(labels.model)[name].buckets;
      buckets.set(bound, (buckets.get(bound) ?? 0) + value);
    }
    for (const { labels, value } of series(`${family}_sum`)) of(labels.model)[name].sum += value;
    for (const { labels, value } of series(`${family}_count`)) {
      of(labels.model)[name].count += value;
    }
  }
  for (const [family, name] of Object.entries(GAUGES)) {
    for (const { labels, value } of series(family)) of(labels.model)[name] += value;
  }
  for (const { labels, value } of series("onnxd_saturation")) {
    const model = of(labels.model);
    model.saturation = Math.max(model.saturation, value);
  }
  for (const part of ["sum", "count"]) {
    for (const { labels, value } of series(`onnxd_stage_duration_seconds_${part}`)) {
      const stages = of(labels.model).stages;
      stages[labels.stage] ??= { sum: 0, count: 0 };
      stages[labels.stage][part] += value;
    }
  }
  for (const { labels } of series("onnxd_device_info")) of(labels.model).device = labels.runs;
  return {
    time,
    models,
    started: single("process_start_time_seconds"),
    cpu: single("process_cpu_seconds_total"),
    memory: single("process_resident_memory_bytes"),
    cores: single("onnxd_cores"),
    connections: single("onnxd_connections"),
    gpus: series("onnxd_device_memory_bytes").map(({ labels, value }) => ({
      ...labels,
      bytes: value,
    })),
  };
}

function empty() {
  return {
    requests: { answered: 0, refused: 0, failed: 0 },
    latency: { buckets: new Map(), sum: 0, count: 0 },
    batch: { buckets: new Map(), sum: 0, count: 0 },
    stages: {},
    queue: 0,
    inFlight: 0,
    sessions: 0,
    saturation: 0,
    device: "",
  };
}

// What happened between two samples, of one model or, with null, of all; gauges are the later sample's.
export function between(earlier, later, name) {
  const total = empty();
  for (const [model, now] of later.models) {
    if (name !== null && model !== name) continue;
    const then = earlier.models.get(model) ?? empty();
    for (const outcome in total.requests) {
      total.requests[outcome] += now.requests[outcome] - then.requests[outcome];
    }
    for (const counted of Object.values(COUNTED)) {
      const { buckets } = total[counted];
      for (const [bound, count] of now[counted].buckets) {
        const grown = count - (then[counted].buckets.get(bound) ?? 0);
        buckets.set(bound, (buckets.get(bound) ?? 0) + grown);
      }
      total[counted].sum += now[counted].sum - then[counted].sum;
      total[counted].count += now[counted].count - then[counted].count;
    }
    for (const [stage, { sum, count }] of Object.entries(now.stages)) {
      total.stages[stage] ??= { sum: 0, count: 0 };
      total.stages[stage].sum += sum - (then.stages[stage]?.sum ?? 0);
      total.stages[stage].count += count - (then.stages[stage]?.count ?? 0);
    }
    for (const gauge of Object.values(GAUGES)) total[gauge] += now[gauge];
    total.saturation = Math.max(total.saturation, now.saturation);
    total.device = now.device;
  }
  return total;
}

// Cumulative counts by bound, in rising order.
export const sorted = (buckets) => [...buckets].sort(([a], [b]) => a - b);
