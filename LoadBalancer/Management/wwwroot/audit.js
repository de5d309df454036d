// Who has changed what, from where, and what became of it.
import { make, timeOfDay } from './parts.js';
import { ask } from './stream.js';

const every = 5000;
const most = 50;
const nothing = 'was changed to what it was';
const verbs = {
  patch: 'change', put: 'addition or replacement', delete: 'removal', reload: 'reload of the configuration file', upgrade: 'upgrade of the program',
  push: 'push of a configuration to all nodes', rollback: 'rollback of the configuration of all nodes',
};
const list = document.getElementById('audit');
let shown = null;

/** The values of settings by their names: those of a queue as queue.limit. */
function flat(settings, prefix = '') {
  return Object.entries(settings ?? {}).flatMap(([name, value]) =>
    value !== null && typeof value === 'object' ? flat(value, `${prefix}${name}.`) : [[prefix + name, value]]);
}

/** What an entry of the audit says was done, in words. */
export function wordsOf({ action, from, to, result, error }) {
  const [before, after] = [new Map(flat(from)), flat(to)];
  const changes = after.filter(([name, value]) => before.get(name) !== value).map(([name, value]) =>
    `${name} ${before.has(name) ? `${before.get(name) ?? 'none'} → ` : ''}${value ?? 'none'}`);
  const done = action === 'push' || action === 'rollback' ? [verbs[action], ...changes].join(', ')
    : from && to ? changes.join(', ') || nothing
    : to ? `added: ${changes.join(', ')}`
    : from ? 'removed'
    : verbs[action] ?? action;
  const what = action !== 'undo' ? done : from || to ? `undo: ${done}` : 'undo';
  return result === 'refused' ? `${what}: refused, ${error}` : result === 'done' ? what : `${what}: ${result}`;
}

const lineOf = entry => make('li', { className: entry.result === 'refused' ? 'is-refused' : '' },
  timeOfDay(entry.time), ' ', make('strong', { textContent: entry.user === '-' ? 'an operator' : entry.user }), ` from ${entry.address} · `,
  make('strong', { textContent: [entry.pool, entry.backend].filter(Boolean).join('/') || 'the node' }), ` ${wordsOf(entry)}`);

/** Asks for the last entries, now and from then on. */
export async function keepAudit() {
  if (!document.hidden) {
    const entries = (await ask(`/api/audit?limit=${most}`))?.entries;
    if (entries && shown !== (shown = JSON.stringify(entries))) {
      list.replaceChildren(...entries.map(lineOf));
    }
  }
  setTimeout(keepAudit, every);
}
