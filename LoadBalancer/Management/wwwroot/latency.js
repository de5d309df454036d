// How long a pool's responses took over time: a map with a column for each step of time and a band for each length, the darker the more
// responses; and the percentiles as lines.
import { duration, make, set, several } from './parts.js';
import { ask } from './stream.js';

const height = 220;
const [left, right, top, bottom] = [56, 8, 8, 22];
const spans = { '5m': ['5 minutes', 3000], '1h': ['1 hour', 10_000], '24h': ['24 hours', 60_000] }; // and how often to ask again, in ms
const lines = [['p99Ms', 'p99', [6, 3]], ['p90Ms', 'p90', [2, 3]], ['p50Ms', 'p50', []]];

/** Makes the panel of a pool in `holder`; it is empty until it is opened. */
export function latencyPanel(holder, pool) {
  const toggle = holder.querySelector('.toggle');
  const body = holder.querySelector('.map');
  const canvas = make('canvas', { height });
  const text = make('p', { className: 'note reading', role: 'status' });
  const cursor = make('div', { role: 'slider', tabIndex: 0, ariaLabel: `Response times of pool ${pool} by time` }, canvas);
  const choices = Object.entries(spans).map(([span, [title]]) => {
    const button = make('button', { textContent: title });
    button.onclick = () => choose(span);
    return button;
  });
  const keys = lines.map(([field, title]) => make('span', { className: `key line-${field}`, textContent: title }));
  const key = make('p', { className: 'note' }, ...keys, 'The darker, the more responses took that long.');
  body.append(make('p', { className: 'spans' }, ...choices), cursor, text, key);

  let [span, data, at, asked] = ['5m', null, null, null];
  let [isOpen, isRelayed] = [false, false];

  toggle.onclick = () => {
    isOpen = !isOpen;
    toggle.ariaExpanded = String(isOpen);
    body.hidden = !isOpen;
    load();
  };

  function choose(next) {
    [span, at] = [next, null];
    load();
  }

  async function load() {
    clearTimeout(asked);
    if (!isOpen) {
      return;
    }
    choices.forEach((button, index) => button.ariaPressed = String(Object.keys(spans)[index] === span));
    if (!document.hidden) {
      const answer = await ask(`/api/pools/${encodeURIComponent(pool)}/latency?span=${span}`);
      data = answer?.span === span ? answer : data;
      draw();
    }
    clearTimeout(asked);
    asked = setTimeout(load, spans[span][1]);
  }

  // The newest step in which something happened: the newest one has just begun, and mostly nothing has happened in it yet.
  const latest = () => data.steps.findLastIndex(({ counts, errors }) => errors > 0 || counts.some(number => number > 0));

  // The steps that there are end at the right edge.
  const stepAt = x => data.steps.length - data.columns + Math.floor((x - left) / (canvas.clientWidth - left - right) * data.columns);

  canvas.onpointermove = event => data && point(stepAt(event.offsetX));
  canvas.onpointerleave = () => point(null);
  cursor.onkeydown = event => {
    const move = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: -10, PageDown: 10, Home: -1e6, End: 1e6 }[event.key];
    if (move && data?.steps.length > 0) {
      event.preventDefault();
      point(Math.max(0, Math.min(data.steps.length - 1, (at ?? latest()) + move)));
    }
  };

  function point(step) {
    at = step !== null && data?.steps[step] ? step : null;
    draw();
  }

  function draw() {
    if (!data || !isOpen) {
      return;
    }
    const read = at ?? latest();
    const words = read >= 0 ? describe(data.steps[read], data) : `No response was counted in the last ${spans[data.span][0]}.`;
    Object.assign(cursor, { ariaValueMin: '0', ariaValueMax: String(Math.max(0, data.steps.length - 1)),
      ariaValueNow: String(Math.max(0, read)), ariaValueText: words });
    set(text, { textContent: words });
    paint(canvas, data, at);
  }

  new ResizeObserver(draw).observe(cursor);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  return {
    update: ({ p99Ms }) => {
      isRelayed = p99Ms === undefined;
      set(holder, { hidden: isRelayed });
    },
  };
}

const clock = (time, isLong) => new Date(time).toLocaleTimeString('en-GB', isLong ? { hour: '2-digit', minute: '2-digit' } : {});

function describe({ start, counts, p50Ms, p90Ms, p99Ms, errors }, { stepSeconds, boundsMs }) {
  const most = counts.indexOf(Math.max(...counts));
  const responses = counts.reduce((sum, number) => sum + number, 0);
  return `${clock(start)} to ${clock(Date.parse(start) + stepSeconds * 1000)}: ${several(responses, 'response')}`
    + (responses === 0 ? '' : `, p50 ${duration(p50Ms)}, p90 ${duration(p90Ms)}, p99 ${duration(p99Ms)}, `
      + `most took ${duration(boundsMs[most - 1] ?? 0)} to ${duration(boundsMs[most])}`)
    + (errors > 0 ? `; ${several(errors, 'error')}` : '');
}

function paint(canvas, { steps, columns, stepSeconds, boundsMs }, at) {
  const [width, ratio] = [canvas.parentNode.clientWidth, devicePixelRatio];
  if (width === 0) {
    return;
  }
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  context.font = `12px ${getComputedStyle(canvas).fontFamily}`;
  // A canvas knows nothing of variables, nor of light and dark.
  const color = name => {
    canvas.style.color = `var(${name})`;
    return getComputedStyle(canvas).color;
  };
  const inner = { width: width - left - right, height: height - top - bottom };
  // From the band below the first response to the one above the last.
  const used = boundsMs.map((_, band) => steps.some(({ counts }) => counts[band] > 0));
  const lowest = Math.max(0, used.indexOf(true) - 2);
  const highest = Math.min(boundsMs.length - 1, Math.max(used.lastIndexOf(true) + 2, lowest + 6));
  const bandHeight = inner.height / (highest - lowest + 1);
  const yOf = band => top + inner.height - (band - lowest + 1) * bandHeight;
  const x = index => left + (columns - steps.length + index) / columns * inner.width;
  const most = Math.max(...steps.flatMap(({ counts }) => counts), 1);

  context.fillStyle = color('--heat');
  steps.forEach(({ counts }, index) => counts.forEach((number, band) => {
    if (number > 0 && band >= lowest && band <= highest) {
      context.globalAlpha = 0.12 + 0.88 * Math.log1p(number) / Math.log1p(most);
      context.fillRect(x(index), yOf(band), inner.width / columns + 0.3, bandHeight + 0.3);
    }
  }));
  context.globalAlpha = 1;

  context.fillStyle = context.strokeStyle = color('--muted-ink');
  context.textAlign = 'right';
  boundsMs.forEach((bound, band) => {
    if (band > lowest && band <= highest && Math.abs(Math.log10(bound) - Math.round(Math.log10(bound))) < 1e-6) {
      context.fillText(bound >= 1000 ? `${bound / 1000} s` : duration(bound), left - 6, yOf(band) + 4);
      context.globalAlpha = 0.25;
      context.fillRect(left, yOf(band), inner.width, 1);
      context.globalAlpha = 1;
    }
  });
  context.textAlign = 'center';
  const end = Date.parse(steps.at(-1)?.start ?? new Date()) + stepSeconds * 1000;
  for (let part = 0; part <= 4; part++) {
    const time = end - (1 - part / 4) * columns * stepSeconds * 1000;
    const place = Math.min(Math.max(left + part / 4 * inner.width, left + 20), width - right - 26);
    context.fillText(clock(time, stepSeconds >= 30), place, height - 6);
  }

  // A percentile is as high as its place between the bounds of its band, in the logarithm.
  const yOfTime = time => {
    const band = Math.max(0, boundsMs.findIndex(bound => time <= bound + 1e-9));
    const [low, high] = [boundsMs[band - 1] ?? boundsMs[0] / 2, boundsMs[band]];
    return yOf(band) + bandHeight * (1 - Math.log(Math.max(time, low) / low) / Math.log(high / low));
  };
  for (const [field, , dash] of lines) {
    context.strokeStyle = color(`--${field}`);
    context.lineWidth = 2;
    context.setLineDash(dash);
    context.beginPath();
    let isDrawing = false;
    steps.forEach((step, index) => {
      const place = [x(index) + inner.width / columns / 2, step[field] === null ? 0 : yOfTime(step[field])];
      step[field] !== null && (isDrawing ? context.lineTo(...place) : context.moveTo(...place));
      isDrawing = step[field] !== null;
    });
    context.stroke();
  }
  context.setLineDash([]);
  if (at !== null) {
    context.strokeStyle = color('--ink');
    context.lineWidth = 1;
    context.strokeRect(x(at) + 0.5, top + 0.5, Math.max(2, inner.width / columns - 1), inner.height - 1);
  }
}
