// The last five minutes of pools and backends, and how they are drawn.
import { duration, make, rate, set } from './parts.js';

const seconds = 300;
const height = 40;
let histories = new Map();
let lastSecond = 0;

/** What is known of a backend, or, where none is named, of its pool: one value for each second, oldest first. */
export function historyOf(pool, backend = null) {
  const key = JSON.stringify([pool, backend]);
  return histories.get(key) ?? histories.set(key, { requestsPerSecond: [], p99Ms: [] }).get(key);
}

/** Starts again with what the load balancer remembers. */
export function recall(entries) {
  histories = new Map();
  for (const { pool, backend, requestsPerSecond, p99Ms } of entries) {
    Object.assign(historyOf(pool, backend), { requestsPerSecond, p99Ms });
  }
}

export function remember({ time, pools }) {
  // A snapshot that follows a change at once stands for the same second as the one before it.
  const second = Math.floor(Date.parse(time) / 1000);
  for (const pool of pools) {
    for (const source of [pool, ...pool.backends]) {
      for (const [key, values] of Object.entries(historyOf(pool.name, source === pool ? null : source.name))) {
        if (second === lastSecond) {
          values.pop();
        }
        values.push(source[key] ?? null);
        values.splice(0, values.length - seconds);
      }
    }
  }
  lastSecond = second;
}

export const highest = values => values.reduce((most, value) => Math.max(most, value ?? 0), 0);

/** Says which colour is what, and how much the top of a chart stands for. */
export function chartKey() {
  const [area, line] = [make('span', { className: 'key' }), make('span', { className: 'key of-p99' })];
  return {
    node: make('span', { className: 'note' }, area, line), update: ({ requestsPerSecond, p99Ms }) => {
      set(area, { textContent: `≤ ${rate(requestsPerSecond)}/s` });
      set(line, { textContent: `p99 ≤ ${duration(p99Ms || null)}` });
    },
  };
}

/** Draws requests per second as an area and p99 as a line. Its scales are the caller's, so that charts can be compared. */
export function chart(holder) {
  const svg = (name, attributes, ...children) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    node.append(...children);
    return node;
  };
  const [title, area, line] = [svg('title', {}), svg('path', { class: 'area' }), svg('path', { class: 'line' })];
  holder.append(svg('svg', { viewBox: `0 0 ${seconds} ${height}`, preserveAspectRatio: 'none', role: 'img' }, title, area, line));

  return (name, { requestsPerSecond, p99Ms }, scales) => {
    const point = (values, index, scale) => `${seconds - values.length + index} ${(height - (values[index] ?? 0) / (scale || 1) * (height - 2)).toFixed(1)}`;
    area.setAttribute('d', `M${seconds - requestsPerSecond.length} ${height}` +
      requestsPerSecond.map((_, index) => `L${point(requestsPerSecond, index, scales.requestsPerSecond)}`).join('') + `V${height}Z`);
    // Where nobody answered, the line has a gap; a lone point is drawn as a dot.
    line.setAttribute('d', p99Ms.map((value, index) =>
      value == null ? '' : p99Ms[index - 1] == null ? `M${point(p99Ms, index, scales.p99Ms)}h.1` : `L${point(p99Ms, index, scales.p99Ms)}`).join(''));
    title.textContent = `${name}, last 5 minutes: ${rate(requestsPerSecond.at(-1))} requests/s now, at most ${rate(highest(requestsPerSecond))}; ` +
      `p99 ${duration(p99Ms.at(-1))} now, at most ${duration(highest(p99Ms) || null)}`;
  };
}
