// Where you are: the node, its configuration, its listeners and their certificates.
import { count, make, timeOfDay } from './parts.js';
import { ask } from './stream.js';

const byId = id => document.getElementById(id);
const every = 5000;
const dayMs = 24 * 60 * 60 * 1000;
let [nodeShown, listenersShown, certificatesShown, changesShown] = [];

/** When a certificate is valid, and how much that matters now. Renewed in time it has more than 14 days left. */
function validity({ notBefore, notAfter }, now) {
  const [begin, end] = [new Date(notBefore), new Date(notAfter)];
  const date = time => time.toISOString().slice(0, 10);
  const days = Math.floor((end - now) / dayMs);
  return end < now ? ['bad', `▼ expired on ${date(end)}`]
    : begin > now ? ['bad', `▼ not valid before ${date(begin)}`]
    : [days < 14 ? 'warn' : 'note', `valid until ${date(end)}, ${days} more days`];
}

export function showCertificates(certificates, now) {
  byId('certificates-card').hidden = certificates.length === 0;
  const texts = certificates.map(certificate => [certificate.listener, certificate.name ?? certificate.file, ...validity(certificate, now)]);
  if (certificatesShown === (certificatesShown = JSON.stringify(texts))) {
    return;
  }
  byId('certificates').replaceChildren(...texts.map(([listener, file, className, textContent]) =>
    make('li', {}, make('strong', { textContent: listener }), ` ${file} `, make('span', { className, textContent }))));
}

const uptime = seconds => seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.floor(seconds / 60)} min`
  : seconds < 2 * 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;

function showNode(node) {
  const { host, version, build, commit, process, startedAt, uptimeSeconds, configuration, lastReload, user } = node;
  byId('host').textContent = host ? `on ${host} · ` : '';
  const rows = [
    ...host ? [['Host', [host]]] : [],
    ['Version', [`${version} (${[build, commit?.slice(0, 9)].filter(Boolean).join(', ')})`]],
    ['Process', [`${process}, up for ${uptime(uptimeSeconds)}, since ${new Date(startedAt).toLocaleString('en-GB')}`]],
    ['Configuration', [configuration ?? 'none']],
    ...lastReload === undefined ? [] : [['Last reload', reloadText(lastReload)]],
    ...user && user.name !== '-' ? [['You are', [`${user.name}, ${user.role}`]]] : [],
  ];
  if (nodeShown === (nodeShown = JSON.stringify(rows))) {
    return;
  }
  byId('node-facts').replaceChildren(...rows.flatMap(([title, texts]) =>
    [make('dt', { textContent: title }), make('dd', {}, ...texts.map((textContent, index) =>
      make('div', { textContent, className: index > 0 || textContent.startsWith('▼') ? 'bad' : '' })))]));
}

function reloadText(reload) {
  if (!reload) {
    return ['not since the start'];
  }
  const { time, applied, errors, warnings } = reload;
  const when = new Date(time).toLocaleString('en-GB');
  return applied ? [`${when}: applied`, ...warnings] : [`▼ ${when}: rejected, nothing was changed`, ...errors];
}

function showListeners(listeners, now) {
  byId('listeners-card').hidden = listeners.length === 0;
  const text = JSON.stringify(listeners);
  if (listenersShown === (listenersShown = text)) {
    return;
  }
  byId('listeners').replaceChildren(...listeners.map(({ name, protocol, addresses, openConnections, refusedConnections, certificates }) => make('tr', {},
    make('th', { scope: 'row', textContent: name }), make('td', { textContent: protocol }), make('td', { textContent: addresses.join(', ') }),
    make('td', { textContent: count(openConnections ?? 0) }), make('td', { textContent: count(refusedConnections ?? 0) }),
    make('td', {}, ...(certificates ?? []).map(certificate => {
      const [className, words] = validity(certificate, now);
      return make('div', {}, `${certificate.name ?? certificate.file} `, make('span', { className, textContent: words }));
    })))));
}

function showChanges({ differences, configuration }) {
  const text = JSON.stringify([differences, configuration]);
  if (changesShown === (changesShown = text)) {
    return;
  }
  const isSame = Object.keys(differences ?? {}).length === 0;
  byId('changes-card').hidden = false;
  byId('differences').textContent = isSame ? 'Nothing was changed at run time: the node does what the file says.' : JSON.stringify(differences, null, 2);
  byId('copy-differences').hidden = isSame;
  byId('effective').textContent = JSON.stringify(configuration, null, 2);
}

byId('copy-differences').onclick = async () => {
  const copied = await navigator.clipboard?.writeText(byId('differences').textContent).then(() => true, () => false)
    ?? copySelected(byId('differences'));
  byId('copied').textContent = copied ? 'Copied.' : 'The browser does not let this page copy: select the text.';
};

// Without TLS there is no clipboard under names that are not loopback names.
function copySelected(node) {
  getSelection().selectAllChildren(node);
  return document.execCommand('copy');
}

/** Asks what the node is, now and from then on. `known` gets what it has answered. */
export async function keepNode(known) {
  if (!document.hidden) {
    const node = await ask('/api/node');
    if (node) {
      known(node);
      showNode(node);
      const [listeners, config] = await Promise.all([ask('/api/listeners'), ask('/api/config')]);
      listeners && showListeners(listeners.listeners, new Date());
      config && showChanges(config);
    }
  }
  setTimeout(keepNode, every, known);
}

export const lineOfLog = ({ time, pool, backend, text }) =>
  make('li', {}, timeOfDay(time), ' ', make('strong', { textContent: [pool, backend].filter(Boolean).join('/') }), ` ${text}`);
