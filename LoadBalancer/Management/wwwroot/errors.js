// The errors that clients saw: of the last hour in groups, and the last ones.
import { count, make, timeOfDay } from './parts.js';
import { ask } from './stream.js';

const byId = id => document.getElementById(id);
const every = 5000;
const groupings = {
  each: [['Kind', kindOf], ['Where', whereOf]],
  kind: [['Kind', kindOf]],
  pool: [['Pool', ({ pool, listener }) => pool ?? (listener ? `listener ${listener}` : '–')]],
  backend: [['Backend', ({ pool, backend }) => backend ? `${pool}/${backend}` : '(none was reached)']],
};
let [groups, routes, errorsShown, tableShown] = [[], [], null, null];

function kindOf({ type, kind }) {
  return type === '' ? '(beyond the limit of groups)' : `${type.split('_')[0]} ${(kind || type.slice(4).toLowerCase()).replaceAll('_', ' ')}`;
}

function whereOf({ listener, route, pool, backend }) {
  return [listener && `listener ${listener}`, route && `route ${route}`, pool && [pool, backend].filter(Boolean).join('/')].filter(Boolean).join(', ') || '–';
}

/** Groups that look the same become one. */
function merged() {
  const by = byId('group-by').value;
  if (by === 'route') {
    return [['Route', 'Last hour (5xx)'], routes.filter(({ lastHour }) => lastHour > 0).sort((a, b) => b.lastHour - a.lastHour)
      .map(({ listener, name, lastHour }) => [`${listener}: ${name || '(no route)'}`, count(lastHour)])];
  }
  const rows = new Map();
  for (const group of groups) {
    const names = groupings[by].map(([, text]) => text(group));
    const row = rows.get(String(names)) ?? { names, lastHour: 0, last5Minutes: 0, lastTime: '', example: '' };
    const latest = group.lastTime > row.lastTime ? group : row;
    rows.set(String(names), {
      names, lastHour: row.lastHour + group.lastHour, last5Minutes: row.last5Minutes + group.last5Minutes, lastTime: latest.lastTime, example: latest.example,
    });
  }
  return [
    [...groupings[by].map(([title]) => title), 'Last hour', 'Last 5 min', 'Last', 'Example'],
    [...rows.values()].sort((a, b) => b.lastHour - a.lastHour).map(({ names, lastHour, last5Minutes, lastTime, example }) =>
      [...names, count(lastHour), count(last5Minutes), new Date(lastTime).toLocaleTimeString('en-GB'), example]),
  ];
}

function showGroups() {
  const [titles, rows] = merged();
  const text = JSON.stringify([titles, rows]);
  if (text === tableShown) {
    return;
  }
  tableShown = text;
  byId('error-groups').hidden = rows.length === 0;
  byId('no-errors').hidden = rows.length > 0;
  byId('error-groups').tHead.rows[0].replaceChildren(...titles.map(textContent => make('th', { scope: 'col', textContent })));
  byId('error-groups').tBodies[0].replaceChildren(...rows.map(cells => make('tr', {}, ...cells.map((textContent, index) =>
    Object.assign(make(index === 0 ? 'th' : 'td', { textContent }), index === 0 ? { scope: 'row' } : {})))));
}

/** Asks for the groups, now and from then on. */
export async function keepErrors() {
  if (!document.hidden) {
    ({ groups, routes } = await ask('/api/errors') ?? { groups, routes });
    showGroups();
  }
  setTimeout(keepErrors, every);
}

byId('group-by').onchange = showGroups;

/** Shows the last errors. */
export function showErrors(errors) {
  if (errorsShown === (errorsShown = JSON.stringify(errors))) {
    return;
  }
  const kinds = Object.entries(errors.error_types).map(([type, number]) => `${number} × ${type}`);
  byId('error-types').textContent = errors.total_errors > 0 ? `Since the start: ${kinds.join(', ')}` : 'None since the start.';
  byId('errors').replaceChildren(...errors.recent_errors.toReversed().map(({ type, msg, timestamp }) => line(timestamp, type, msg)));
  byId('errors').hidden = errors.recent_errors.length === 0;
}

export const line = (time, subject, text) => make('li', {}, timeOfDay(time), ' ', make('strong', { textContent: subject }), ` ${text}`);
