// The routes of the listeners that have any: what each has been doing.
import { count, make, numbers, reconcile, set } from './parts.js';

const fields = ['requestsPerSecond', 'errorShare', 'p50Ms', 'p99Ms'];
const byId = id => document.getElementById(id);
const rows = new Map();

const head = [
  ['Route', '', 'name'], ...fields.map(field => [numbers[field][0], numbers[field][2], field]), ['Requests', 'Since the start', 'requests'],
];
byId('routes-card').querySelector('thead tr').append(
  ...head.map(([textContent, title, className]) => make('th', { scope: 'col', textContent, title, className })));

function rowView() {
  const [name, listener] = [make('strong'), make('span', { className: 'note' })];
  const cells = [...fields, 'requests'].map(() => make('td'));
  return {
    node: make('tr', {}, make('th', { scope: 'row' }, name, ' ', listener), ...cells), update: route => {
      set(name, { textContent: route.route || '(no route)' });
      set(listener, { textContent: route.listener });
      fields.forEach((field, index) => set(cells[index], { textContent: numbers[field][1](route[field]), className: field }));
      set(cells.at(-1), { textContent: count(route.requests), className: 'requests' });
      cells[1].classList.toggle('bad', route.errorShare > 0);
    },
  };
}

/** Shows the routes of a snapshot; `total` is how many there are. */
export function showRoutes(routes, total) {
  byId('routes-card').hidden = routes.length === 0;
  set(byId('routes-left-out'), { hidden: total <= routes.length, textContent: `The ${routes.length} busiest of ${count(total)}` });
  reconcile(byId('routes'), rows, routes.map(route => ({ ...route, route: route.name, name: `${route.listener}\n${route.name}` })), rowView);
}
