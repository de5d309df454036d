// The last five minutes of pools and backends, and how they are drawn.
import { bytes, duration, make, rate, set } from './parts.js';

const seconds = 300;
const height = 40;
let histories = new Map();
let lastSecond = 0;

/**
 * What is known of a backend, or, where none is named, of its pool: one value for each second, oldest first. The area is requests per
 * second and the line p99; or, where connections are relayed, bytes to clients and from them.
 */
export function historyOf(pool, backend = null) {
  const key = JSON.stringify([pool, backend]);
  return histories.get(key) ?? histories.set(key, { area: [], line: [], isRelayed: false }).get(key);
}

const valuesOf = source => source.bytesOutPerSecond === undefined
  ? { area: source.requestsPerSecond, line: source.p99Ms, isRelayed: false }
  : { area: source.bytesOutPerSecond, line: source.bytesInPerSecond, isRelayed: true };

const areaText = (value, isRelayed) => isRelayed ? `${bytes(value)}/s out` : `${rate(value)}/s`;
const lineText = (value, isRelayed) => isRelayed ? `${bytes(value)}/s in` : duration(value);

/** Starts again with what the load balancer remembers. */
export function recall(entries) {
  histories = new Map();
  for (const entry of entries) {
    Object.assign(historyOf(entry.pool, entry.backend), valuesOf(entry));
  }
}

export function remember({ time, pools }) {
  // A snapshot that follows a change at once stands for the same second as the one before it.
  const second = Math.floor(Date.parse(time) / 1000);
  for (const pool of pools) {
    for (const source of [pool, ...pool.backends]) {
      const [history, now] = [historyOf(pool.name, source === pool ? null : source.name), valuesOf(source)];
      history.isRelayed = now.isRelayed;
      for (const key of ['area', 'line']) {
        if (second === lastSecond) {
          history[key].pop();
        }
        history[key].push(now[key] ?? null);
        history[key].splice(0, history[key].length - seconds);
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
    node: make('span', { className: 'note' }, area, line), update: scales => {
      set(area, { textContent: `≤ ${areaText(scales.area, scales.isRelayed)}` });
      set(line, { textContent: scales.isRelayed ? `≤ ${lineText(scales.line, true)}` : `p99 ≤ ${lineText(scales.line || null, false)}` });
    },
  };
}

/** Draws a history's area and line. The scales are the caller's, so that charts can be compared. */
export function chart(holder) {
  const svg = (name, attributes, ...children) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    node.append(...children);
    return node;
  };
  const [title, areaPath, linePath] = [svg('title', {}), svg('path', { class: 'area' }), svg('path', { class: 'line' })];
  holder.append(svg('svg', { viewBox: `0 0 ${seconds} ${height}`, preserveAspectRatio: 'none', role: 'img' }, title, areaPath, linePath));

  return (name, { area, line, isRelayed }, scales) => {
    const point = (values, index, scale) => `${seconds - values.length + index} ${(height - (values[index] ?? 0) / (scale || 1) * (height - 2)).toFixed(1)}`;
    areaPath.setAttribute('d', `M${seconds - area.length} ${height}` + area.map((_, index) => `L${point(area, index, scales.area)}`).join('') + `V${height}Z`);
    // Without answers the line has a gap; a lone point is drawn as a dot.
    linePath.setAttribute('d', line.map((value, index) =>
      value == null ? '' : line[index - 1] == null ? `M${point(line, index, scales.line)}h.1` : `L${point(line, index, scales.line)}`).join(''));
    title.textContent = `${name}, last 5 minutes: ` + (isRelayed
      ? `${areaText(area.at(-1), true)} now, at most ${areaText(highest(area), true)}; ${lineText(line.at(-1), true)} now, at most ${lineText(highest(line), true)}`
      : `${rate(area.at(-1))} requests/s now, at most ${rate(highest(area))}; p99 ${duration(line.at(-1))} now, at most ${duration(highest(line) || null)}`);
  };
}
