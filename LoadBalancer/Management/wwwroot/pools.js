// Pools and their backends: what they do, and which of them stands out.
import { chart, chartKey, fetchHistories, highest, historyOf } from './chart.js';
import { columns } from './columns.js';
import { findSlow, inOrder, isSearching, longestBar, matches, noUrgency, rank, states, urgency, wanted } from './find.js';
import { latencyPanel } from './latency.js';
import { count, duration, make, numberList, numbers, reconcile, set, share, times } from './parts.js';
import { virtualRows } from './rows.js';

const byId = id => document.getElementById(id);
const views = new Map();
const folded = new Map(); // what the operator wants; a pool that is not in it folds by itself
const manyBackends = 60; // From so many on, pools in which all is well are folded.
const stillness = 5000; // For so long after the last key or move in the pools they keep their places.
const isTouched = () => performance.now() - touchedAt < stillness;
let [order, touchedAt, hasMany] = [[], -stillness, false];

for (const kind of ['pointermove', 'pointerdown', 'keydown']) {
  byId('pools').addEventListener(kind, () => touchedAt = performance.now(), { passive: true });
}

/** Shows the pools of a snapshot: those that need somebody first. */
export function showPools(pools, hands) {
  hasMany = pools.length > 1 && pools.reduce((sum, { backends }) => sum + backends.length, 0) > manyBackends;
  for (const pool of pools) {
    viewOf(pool.name, hands).take(pool);
  }
  // A pool does not go away from under the pointer.
  const names = pools.map(({ name }) => name);
  if (!isTouched() || order.length !== names.length || !names.every(name => order.includes(name))) {
    order = names.toSorted((a, b) => views.get(a).urgency - views.get(b).urgency || names.indexOf(a) - names.indexOf(b));
  }
  const shown = order.map(name => pools.find(pool => pool.name === name)).filter(({ name }) => views.get(name).isFound);
  reconcile(byId('pools'), views, shown, name => viewOf(name, hands), new Set(names));
}

function viewOf(name, hands) {
  return views.get(name) ?? views.set(name, poolView(name, hands)).get(name);
}

/** The backends that are found, with their pools; in the order in which they are shown. */
export const found = () => order.flatMap(name => views.get(name)?.found.map(backend => ({ pool: name, backend: backend.name })) ?? []);

/** How many backends there are in a state. */
export const countOf = state =>
  [...views.values()].reduce((sum, { all, slow }) => sum + all.filter(backend => states[state].holds(backend, slow)).length, 0);

/** Shows a backend, or a pool where none is named, and gives it the focus. */
export function goTo(pool, backend = null) {
  const view = views.get(pool);
  if (view && !view.node.isConnected) {
    byId('pools').append(view.node);
  }
  view?.goTo(backend);
}

/** Draws all pools again, folded or not. */
export function fold(isFolded) {
  views.forEach((_, name) => folded.set(name, isFolded));
}

/** What a broker is, and since when it has heard of the other one. */
function brokerText({ role, peer, healthCheckAgeMs, alternativePingAgeMs, clients, workers, takeOvers }) {
  const since = milliseconds => `${duration(milliseconds)} ago`;
  const heard = healthCheckAgeMs == null ? 'not heard yet' : `HCHECK ${since(healthCheckAgeMs)}`;
  return [
    role === 'Main' ? `Main, HCHECK ${since(healthCheckAgeMs ?? 0)}` : `${role} of ${peer}, ${heard}`,
    ...role !== 'Main' ? []
      : [alternativePingAgeMs == null ? 'no alternative' : `alternative ${peer}, ALTPING ${since(alternativePingAgeMs)}`,
        `${count(clients)} clients`, `${count(workers)} workers`],
    ...takeOvers > 0 ? [`take-overs: ${count(takeOvers)}`] : [],
  ].join(' · ');
}

/** What backends were compared with in the last interval of Outliers. */
function outliersText({ backends, leastSuccessShare, longestMedianMs, ejected }) {
  return [
    leastSuccessShare == null && longestMedianMs == null ? `outliers: too few backends had enough requests (${count(backends)})` : 'outliers',
    ...leastSuccessShare == null ? [] : [`below ${share(leastSuccessShare)} succeeded`],
    ...longestMedianMs == null ? [] : [`median of ${duration(longestMedianMs)} or more`],
    `${count(ejected)} ejected`,
  ].join(' · ');
}

/** A pool: its numbers, what stands out in it, and its backends. */
function poolView(name, hands) {
  const node = byId('pool').content.firstElementChild.cloneNode(true);
  const part = selector => node.querySelector(selector);
  const [draw, list] = [chart(part('.chart')), numberList(part('dl'))];
  const [ownKey, rowKey, toggle, latency] = [chartKey(), chartKey(), part('h2 button'), latencyPanel(part('.latency'), name)];
  let [shown, context] = [[], { slow: new Map() }];
  part('.chart').append(ownKey.node);
  node.ariaLabel = `Pool ${name}`;
  node.id = `pool-${encodeURIComponent(name)}`;
  toggle.textContent = name;
  toggle.onclick = () => {
    folded.set(name, !isFolded());
    hands.show();
  };
  part('caption').textContent = `Backends of pool ${name}`;
  part('.rows').ariaLabel = `Backends of pool ${name}`;

  const view = { node, all: [], found: [], slow: context.slow, urgency: noUrgency, isFound: true };
  const isFolded = () => !isSearching() && (folded.get(name) ?? (hasMany && view.urgency === noUrgency));
  const rows = virtualRows(part('.rows'), part('tbody'), backend => {
    const cells = shown.map(column => make(column.field === 'name' ? 'th' : 'td', { className: column.className ?? column.field }));
    cells.forEach((cell, index) => cell.dataset.title = shown[index].title);
    cells[0].scope = 'row';
    const updates = cells.map((cell, index) => shown[index].fill(cell, name, hands));
    const row = make('tr', {}, ...cells);
    return {
      node: row, update: item => {
        set(row, { className: Object.values(states)[rank(item, context.slow)]?.className ?? '' });
        updates.forEach(update => update(item, context));
      },
    };
  });

  const nameList = (names, most = 12) => [...names.slice(0, most), ...names.length > most ? [`${count(names.length - most)} more`] : []].join(', ');
  const showFindings = (backends, { slow }, broker) => {
    const named = (state, text = backend => backend.name) => backends.filter(backend => states[state].holds(backend, slow)).map(text);
    const away = state => backends.filter(({ adminState }) => adminState === state).map(backend => backend.name);
    const findings = [
      ['bad', '▼', 'two serve as the main', broker?.conflict ? [`this one and ${broker.peer}`] : []],
      ['warn', '▲', 'refused', broker?.refused.map(({ port, reason, count: number }) => `${count(number)} × ${reason} at ${port}`) ?? []],
      ['bad', '▼', 'down', named('down')],
      ['bad', '✕', 'errors', named('errors', ({ name: failing, errorShare }) => `${failing} (${share(errorShare)})`)],
      ['warn', '▲', 'slow', [...slow].map(([slowOne, factor]) => `${slowOne} (p99 ${times(factor)} the others)`)],
      ['away', '◐', 'draining', away('Draining')],
      ['away', '■', 'disabled', away('Disabled')],
    ].filter(([, , , names]) => names.length > 0).map(([className, icon, what, names]) => [className, `${icon} ${what}: ${nameList(names)}`]);
    const lines = findings.length > 0 || backends.length === 0 ? findings : [['good', '● all well']];
    const known = part('.findings').children;
    if (lines.length !== known.length || lines.some(([, text], index) => known[index].textContent !== text)) {
      part('.findings').replaceChildren(...lines.map(([className, textContent]) => make('li', { className, textContent })));
    }
  };

  const showHead = () => part('thead tr').replaceChildren(...shown.map(({ field, title, className }) => {
    const button = make('button', { textContent: title, title: numbers[field]?.[2] ?? '' });
    button.onclick = () => hands.sort(field);
    return make('th', { scope: 'col', className: className ?? field }, button, ...className === 'chart' ? [rowKey.node] : []);
  }));

  // Nor does a backend, unless the operator wants another order.
  let [places, placedBy] = [new Map(), ''];
  const inPlace = backends => {
    const by = `${wanted.sort} ${wanted.isDescending}`;
    if (!isTouched() || by !== placedBy || backends.some(backend => !places.has(backend.name))) {
      [places, placedBy] = [new Map(backends.map((backend, index) => [backend.name, index])), by];
      return backends;
    }
    return backends.toSorted((a, b) => places.get(a.name) - places.get(b.name));
  };

  const showOrder = () => [...part('thead tr').children].forEach((cell, index) => {
    const isSorted = shown[index].field === wanted.sort;
    set(cell, { ariaSort: isSorted ? wanted.isDescending ? 'descending' : 'ascending' : null });
  });

  return Object.assign(view, {
    /** Works out what stands out, before it is known where the pool is shown. */
    take: pool => {
      view.slow = findSlow(pool.backends, view.slow);
      view.all = pool.backends;
      view.urgency = urgency(pool, view.slow);
      view.found = isSearching() ? pool.backends.filter(backend => matches(pool, backend, view.slow)) : pool.backends;
      view.isFound = !isSearching() || view.found.length > 0;
    },
    update: pool => {
      const { backends } = pool;
      const own = historyOf(name);
      const ownScales = { area: highest(own.area), line: highest(own.line), isRelayed: own.isRelayed };
      set(part('.policy'), { textContent: pool.hashKey ? `${pool.policy} by ${pool.hashKey}` : pool.policy ?? '' });
      set(part('.broker'), { hidden: !pool.broker, textContent: pool.broker ? brokerText(pool.broker) : '' });
      set(part('.outliers'), { hidden: !pool.outliers, textContent: pool.outliers ? outliersText(pool.outliers) : '' });
      list(pool);
      draw(`Pool ${name}`, own, ownScales);
      ownKey.update(ownScales);
      context = { slow: view.slow, longest: longestBar(backends) };
      showFindings(backends, context, pool.broker);
      latency.update(pool);
      set(node, { className: `card pool urgency-${view.urgency}` });

      const isOpen = !isFolded();
      toggle.ariaExpanded = String(isOpen);
      set(part('.rows'), { hidden: !isOpen || backends.length === 0 });
      set(part('.empty'), { hidden: backends.length > 0 });
      if (!isOpen) {
        fetchHistories(name, []);
        return;
      }
      // One that was there stays: a load that comes and goes would take away whatever has the focus.
      const needed = columns.filter(column => shown.includes(column) || backends.some(backend => backend[column.field] !== undefined));
      if (String(needed.map(({ title }) => title)) !== String(shown.map(({ title }) => title))) {
        shown = needed;
        rows.clear();
        showHead();
      }
      showOrder();
      const highestOf = key => highest(rows.names().map(backend => highest(historyOf(name, backend)[key])));
      context.scales = { area: highestOf('area'), line: highestOf('line'), isRelayed: own.isRelayed };
      rowKey.update(context.scales);
      rows.update(inPlace(inOrder(view.found, view.slow)));
      fetchHistories(name, rows.names());
    },
    goTo: backend => {
      folded.set(name, false);
      hands.show();
      const row = backend === null ? null : rows.reveal(backend);
      (row ?? node).scrollIntoView({ block: 'nearest' });
      (row?.querySelector('button.open') ?? toggle).focus();
    },
  });
}
