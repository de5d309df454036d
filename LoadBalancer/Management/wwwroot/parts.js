// What every part of the dashboard is made of: words for numbers, and nodes. Names, reasons and messages come from outside: they
// only ever become text, never markup.

const fixed = (value, digits) => value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const short = (value, suffix = '') => value == null ? '–' : fixed(value, value > 0 && value < 9.95 ? 1 : 0) + suffix;

export const count = value => fixed(value, 0);
export const several = (number, what) => `${count(number)} ${what}${number === 1 ? '' : 's'}`;
export const rate = value => short(value);
export const share = value => short(value == null ? null : value * 100, ' %');
export const bytes = value => {
  const step = value >= 1000 ? Math.min(Math.floor(Math.log10(value) / 3), 4) : 0;
  return short(value == null ? null : value / 1000 ** step, ` ${['B', 'kB', 'MB', 'GB', 'TB'][step]}`);
};
const bytesPerSecond = value => bytes(value) + '/s';
export const duration = milliseconds => milliseconds >= 9999.5 ? short(milliseconds / 1000, ' s') : short(milliseconds, ' ms');
export const times = factor => short(factor, '×');

/** The numbers that pools, backends and totals may have: what they are called, how they are written, what they mean. */
export const numbers = {
  requestsPerSecond: ['Requests/s', rate, 'In the last second'],
  connectionsPerSecond: ['Connections/s', rate, 'Opened in the last second'],
  bytesInPerSecond: ['In', bytesPerSecond, 'Bytes that clients have sent in the last second'],
  bytesOutPerSecond: ['Out', bytesPerSecond, 'Bytes that clients were sent in the last second'],
  errorShare: ['Errors', share, 'Of the requests or connections of the last 10 s, those that failed'],
  p50Ms: ['p50', duration, 'Half of the answers of the last 10 s took no longer'],
  p99Ms: ['p99', duration, '99 of 100 answers of the last 10 s took no longer'],
  load: ['Load', value => short(value ?? 0, ' %'), 'How busy it says that it is'],
  outlier: ['Compared', value => value ? `${share(value.successShare)} · ${duration(value.medianMs)}` : '–',
    'In the last interval of Outliers: the requests that succeeded, and the median until a response began'],
  inFlight: ['In flight', count, 'Requests that are being answered, or connections that are open'],
  queueLength: ['Waiting', count, 'Requests or connections that wait because every backend is full'],
  retries: ['Retries', count, 'Requests tried again on another backend, since the start'],
  hedges: ['Hedges', count, 'Requests sent a second time because the first was slow, since the start'],
};

export function make(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

/** Sets only what has changed: selections, tooltips and screen readers are left in peace. */
export function set(node, properties) {
  for (const [key, value] of Object.entries(properties)) {
    if (node[key] !== value) {
      node[key] = value;
    }
  }
}

export const timeOfDay = time => make('time', { dateTime: time, textContent: new Date(time).toLocaleTimeString('en-GB') });

/**
 * Makes the nodes in `parent` those of the named `items`, in their order. A node keeps its focus, and lives as long as its name is among
 * the `living`, which are the items where nothing else is said.
 */
export function reconcile(parent, views, items, create, living = new Set(items.map(item => item.name))) {
  const names = new Set(items.map(item => item.name));
  for (const [name, view] of views) {
    if (!names.has(name)) {
      view.node.remove();
    }
    if (!living.has(name)) {
      views.delete(name);
    }
  }
  items.forEach((item, index) => {
    if (!views.has(item.name)) {
      views.set(item.name, create(item.name));
    }
    const { node, update } = views.get(item.name);
    if (parent.children[index] !== node) {
      // Only a moved node keeps its focus.
      const move = node.parentNode === parent && parent.moveBefore ? 'moveBefore' : 'insertBefore';
      parent[move](node, parent.children[index] ?? null);
    }
    update(item);
  });
}

/** Fills a list with those numbers that its source has, so that a pool of another kind needs no other page. */
export function numberList(list) {
  const values = {};
  return source => {
    for (const [key, [title, format, hint]] of Object.entries(numbers)) {
      if (source[key] !== undefined) {
        if (!values[key]) {
          values[key] = make('dd');
          list.append(make('div', { className: key, title: hint }, make('dt', { textContent: title }), values[key]));
        }
        set(values[key], { textContent: format(source[key]) });
      }
    }
  };
}
