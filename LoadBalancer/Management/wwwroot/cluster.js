// The nodes that act as one with this: what each is doing, and all together.
import { count, duration, make, rate, reconcile, set, several, share } from './parts.js';
import { ask } from './stream.js';

const byId = id => document.getElementById(id);
const every = 2000;
const rows = new Map();
let [isKept, trouble] = [false, null];

/** Why what operators want is refused now; null where it is not. */
export const clusterTrouble = () => trouble;

const known = (value, format) => value == null ? '–' : format(value);
const sum = (values) => values.reduce((all, value) => all + value, 0);

const texts = rates => [known(rates?.requestsPerSecond, rate), known(rates?.errorShare, share), known(rates?.p99Ms, duration), known(rates?.inFlight, count)];

function backendsText({ backends, down }) {
  return down > 0 ? ['bad', `▼ ${count(down)} of ${count(backends)} down`] : ['', `● ${count(backends)} up`];
}

function configurationText(configuration) {
  return !configuration || configuration.revision == null && !configuration.error ? ['note', 'its own file']
    : configuration.error ? ['bad', `▼ revision ${configuration.revision ?? '–'}: ${configuration.error}`]
    : ['', `revision ${configuration.revision}`];
}

// Of a node that listens at all addresses it is not known by which one it can be reached.
const isLink = address => URL.canParse(address) && /^https?:$/.test(new URL(address).protocol)
  && !['0.0.0.0', '[::]', '*'].includes(new URL(address).hostname);

function nodeView() {
  const [name, notes] = [make('strong'), make('span', { className: 'note' })];
  const cells = Array.from({ length: 9 }, () => make('td'));
  return {
    node: make('tr', {}, make('th', { scope: 'row' }, name, ' ', notes), ...cells), update: item => {
      const { rates, configuration, version, since, address, isOwn, mains } = item;
      set(name, { textContent: item.name });
      set(notes, { textContent: [isOwn ? 'this node' : '', ...mains.map(main => `main of ${main}`)].filter(Boolean).join(', ') });
      texts(rates).forEach((textContent, index) => set(cells[index], { textContent }));
      cells[1].classList.toggle('bad', rates?.errorShare > 0);
      const [state, found] = rates ? backendsText(rates) : ['', '–'];
      set(cells[4], { textContent: found, className: state });
      const [kind, words] = configurationText(configuration);
      set(cells[5], { textContent: words, className: kind });
      set(cells[6], { textContent: version ?? '–' });
      set(cells[7], { textContent: since ? new Date(since).toLocaleString('en-GB') : '–' });
      if (cells[8].textContent !== (address ?? '–')) {
        cells[8].replaceChildren(isLink(address) && !isOwn ? make('a', { href: address, textContent: address }) : address ?? '–');
      }
    },
  };
}

function show({ name, node, connected, reason, error, nodes, mains }) {
  const telling = nodes.map(({ rates }) => rates).filter(Boolean);
  const requests = sum(telling.map(({ requestsPerSecond }) => requestsPerSecond ?? 0));
  const failed = sum(telling.map(({ requestsPerSecond, errorShare }) => (requestsPerSecond ?? 0) * (errorShare ?? 0)));
  trouble = connected ? null : error ?? `not connected to etcd: ${reason ?? 'it does not answer'}`;
  byId('cluster-card').hidden = false;
  set(byId('cluster-heading'), { textContent: `Cluster ${name}` });
  const all = nodes.length === 1 ? '1 node' : `${several(nodes.length, 'node')}, together ${rate(requests)} requests/s`;
  set(byId('cluster-line'), {
    className: connected ? 'note' : 'bad',
    textContent: connected
      ? `${all}. What you change of a backend here holds on ${nodes.length === 1 ? 'each node that comes, too' : `all ${count(nodes.length)} nodes`}; `
        + 'what is set for workers that have joined by themselves, at this node only.'
      : `▼ ${trouble}. Changes are refused until that is over. Traffic goes on. The nodes are those that were known last.`,
  });
  reconcile(byId('nodes'), rows, nodes.map(one => ({
    ...one, isOwn: one.name === node, mains: Object.entries(mains).filter(([, main]) => main === one.name).map(([listener]) => listener),
  })), nodeView);
  const missing = nodes.length - telling.length;
  const cells = [rate(requests), requests > 0 ? share(failed / requests) : '–', '–', count(sum(telling.map(({ inFlight }) => inFlight ?? 0)))];
  const title = `All ${several(nodes.length, 'node')}${missing > 0 ? `, but ${count(missing)} of which nothing is known yet` : ''}`;
  const text = JSON.stringify([title, cells]);
  if (byId('nodes-sum').dataset.text !== text) {
    byId('nodes-sum').dataset.text = text;
    byId('nodes-sum').replaceChildren(
      make('th', { scope: 'row', textContent: title }), ...cells.map(textContent => make('td', { textContent })), make('td', { colSpan: 5 }));
  }
}

async function keep(changed) {
  if (!document.hidden) {
    const cluster = await ask('/api/cluster?rates');
    const before = trouble;
    cluster && show(cluster);
    if (before !== trouble) {
      changed();
    }
  }
  setTimeout(keep, every, changed);
}

/** Asks for the nodes of the cluster from now on, once it is known that there is one. `changed` is called where trouble comes or goes. */
export function keepCluster(cluster, changed) {
  if (cluster && !isKept) {
    isKept = true;
    keep(changed);
  }
}
