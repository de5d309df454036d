// What is looked for: the search, the filters, the order, and which pools are folded.

/** Why a backend may need somebody, the worst first; each with how it is marked and counted. */
export const states = {
  down: { icon: '▼', title: 'Down', className: 'is-down', holds: ({ healthy }) => !healthy },
  errors: { icon: '✕', title: 'Errors', className: 'is-failing', holds: ({ errorShare }) => errorShare > 0 },
  slow: { icon: '▲', title: 'Slow', className: 'is-slow', holds: ({ name }, slow) => slow.has(name) },
  draining: { icon: '◐', title: 'Draining', className: 'is-away', holds: ({ adminState }) => adminState !== 'Ready' },
};

const names = Object.keys(states);

/** The place of a backend's worst state in the list, or behind it where all is well. */
export const rank = (backend, slow) => {
  const place = names.findIndex(name => states[name].holds(backend, slow));
  return place < 0 ? names.length : place;
};

/** Whether a backend gets work: up, ready, and of some weight. */
export const serves = ({ healthy, adminState, weight }) => healthy && adminState === 'Ready' && weight !== 0;

const middle = sorted => sorted[(sorted.length - 1) >> 1];

/** Those backends in service that answer much later than the others of their pool, and how many times later: name → factor. */
export function findSlow(backends, before) {
  const slow = new Map();
  const working = backends.filter(({ adminState, p99Ms }) => adminState === 'Ready' && p99Ms != null).sort((a, b) => a.p99Ms - b.p99Ms);
  const half = (working.length - 2) >> 1;
  working.forEach(({ name, p99Ms }, place) => {
    const others = working[half >= place ? half + 1 : half]?.p99Ms; // the middle of those without this one
    // Slow from twice the time of the others until it is down to one and a half times, so that the mark does not flicker. Differences of
    // up to 10 ms do not count.
    if (working.length > 1 && p99Ms > others * (before.has(name) ? 1.5 : 2) && p99Ms > others + 10) {
      slow.set(name, p99Ms / Math.max(others, 0.1));
    }
  });
  return slow;
}

/** Bars of equals stay short: one that stands out is long. */
export function longestBar(backends) {
  const answering = backends.map(({ p99Ms }) => p99Ms).filter(Number.isFinite).sort((a, b) => a - b);
  return Math.max(answering.at(-1) ?? 0, 3 * (middle(answering) ?? 0), 1);
}

/** What the operator looks for now. `sort` is null for the worst first. */
export const wanted = { words: [], filters: new Set(), sort: null, isDescending: false };

export const isSearching = () => wanted.words.length > 0 || wanted.filters.size > 0;

/** Whether a backend of a pool is among what is looked for. */
export function matches(pool, backend, slow) {
  const text = () => `${pool.name}/${backend.name} ${backend.address ?? ''} ${backend.reason ?? ''}`.toLowerCase();
  return (wanted.filters.size === 0 || [...wanted.filters].some(name => states[name].holds(backend, slow)))
    && (wanted.words.length === 0 || wanted.words.every(word => text().includes(word)));
}

/** Backends in the order that is wanted; those that are equal stay in the order of the configuration. */
export function inOrder(backends, slow) {
  const { sort, isDescending } = wanted;
  if (sort === null) {
    const ranks = new Map(backends.map(backend => [backend, rank(backend, slow)]));
    return backends.toSorted((a, b) => ranks.get(a) - ranks.get(b));
  }
  const sorted = backends.toSorted((a, b) => compare(a[sort], b[sort]));
  return isDescending ? sorted.reverse() : sorted;
}

// What is not known comes first, so that it is last where the largest is wanted.
function compare(a, b) {
  return a == null || b == null ? (a != null) - (b != null)
    : typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true })
    : typeof a === 'object' ? 0 : a - b;
}

/** How much a pool needs somebody: 0 where nobody in it serves, otherwise 1 and the rank of its worst backend. */
export function urgency(pool, slow) {
  return pool.broker?.conflict || pool.backends.length > 0 && !pool.backends.some(serves) ? 0
    : 1 + pool.backends.reduce((worst, backend) => Math.min(worst, rank(backend, slow)), names.length);
}

/** That of a pool in which all is well. */
export const noUrgency = 1 + names.length;

/** The host of an address, without scheme and port. */
export const hostOf = address => /^[a-z0-9+.]+:\/\/(.*?)(:\d+)?\/?$/i.exec(address ?? '')?.[1] ?? address ?? '';
