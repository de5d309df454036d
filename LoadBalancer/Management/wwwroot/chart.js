// The last five minutes of pools and backends, and how they are drawn.
import { bytes, duration, make, rate, set } from './parts.js';
import { ask } from './stream.js';

const seconds = 300;
const height = 40;
const longestQuery = 2000;
let histories = new Map();
let lastSecond = 0;

/**
 * What is known of a backend, or, where none is named, of its pool: one value for each second, oldest first. The area is requests per
 * second and the line p99; or, where connections are relayed, bytes to clients and from them.
 */
export function historyOf(pool, backend = null) {
  const key = JSON.stringify([pool, backend]);
  return histories.get(key) ?? histories.set(key, { area: [], line: [], isRelayed: false, isAsked: false }).get(key);
}

const valuesOf = source => source.bytesOutPerSecond === undefined
  ? { area: source.requestsPerSecond, line: source.p99Ms, isRelayed: false }
  : { area: source.bytesOutPerSecond, line: source.bytesInPerSecond, isRelayed: true };

const areaText = (value, isRelayed) => isRelayed ? `${bytes(value)}/s out` : `${rate(value)}/s`;
const lineText = (value, isRelayed) => isRelayed ? `${bytes(value)}/s in` : duration(value);

const secondOf = time => Math.floor(Date.parse(time) / 1000);

/** Forgets everything: the load balancer is asked again for what is shown. */
export function forget() {
  histories = new Map();
  lastSecond = 0;
}

/** Gets what the load balancer remembers of a pool and of those of its backends that are shown, where that was not asked for yet. */
export function fetchHistories(pool, backends) {
  const queries = [];
  const wanted = [null, ...backends].filter(name => !historyOf(pool, name).isAsked);
  for (const name of wanted) {
    historyOf(pool, name).isAsked = true;
    const part = name === null ? '' : `&backend=${encodeURIComponent(name)}`;
    if (queries.length === 0 || queries.at(-1) === '' || queries.at(-1).length + part.length > longestQuery) {
      queries.push(part.replace('&', '?'));
    } else {
      queries[queries.length - 1] += part;
    }
  }
  queries.forEach(query => recall(`/api/pools/${encodeURIComponent(pool)}/history${query}`));
}

async function recall(path) {
  const answer = await ask(path);
  for (const entry of answer?.history ?? []) {
    const history = historyOf(entry.pool, entry.backend);
    const { area, line, isRelayed } = valuesOf(entry);
    const newer = Math.max(0, lastSecond - secondOf(answer.time)); // what has come while this was on its way
    history.isRelayed = isRelayed;
    history.area = [...area, ...newer > 0 ? history.area.slice(-newer) : []].slice(-seconds);
    history.line = [...line, ...newer > 0 ? history.line.slice(-newer) : []].slice(-seconds);
  }
}

export function remember({ time, pools }) {
  // What follows a change at once stands for the same second as what came before it.
  const second = secondOf(time);
  for (const pool of pools) {
    for (const source of [pool, ...pool.backends]) {
      const [history, now] = [historyOf(pool.name, source === pool ? null : source.name), valuesOf(source)];
      history.isRelayed = now.isRelayed;
      for (const key of ['area', 'line']) {
        if (second === lastSecond) {
          history[key].pop();
        }
        history[key].push(now[key] ?? null);
        if (history[key].length > seconds) {
          history[key].shift();
        }
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
    const y = (value, scale) => (height - (value ?? 0) / (scale || 1) * (height - 2)).toFixed(1);
    const point = (values, index, scale) => `${seconds - values.length + index} ${y(values[index], scale)}`;
    areaPath.setAttribute('d', `M${seconds - area.length} ${height}`
      + area.map((_, index) => `L${point(area, index, scales.area)}`).join('') + `V${height}Z`);
    // Without answers the line has a gap; a lone point is drawn as a dot.
    linePath.setAttribute('d', line.map((value, index) => value == null ? ''
      : line[index - 1] == null ? `M${point(line, index, scales.line)}h.1` : `L${point(line, index, scales.line)}`).join(''));
    title.textContent = `${name}, last 5 minutes: ` + (isRelayed
      ? `${areaText(area.at(-1), true)} now, at most ${areaText(highest(area), true)}; `
        + `${lineText(line.at(-1), true)} now, at most ${lineText(highest(line), true)}`
      : `${rate(area.at(-1))} requests/s now, at most ${rate(highest(area))}; `
        + `p99 ${duration(line.at(-1))} now, at most ${duration(highest(line) || null)}`);
  };
}
