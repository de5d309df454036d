// The dashboard: shows what /api/events tells, and sends what the operator wants.
import { recall, remember } from './chart.js';
import { make, numberList, reconcile, set, timeOfDay } from './parts.js';
import { poolView } from './pools.js';
import { showRoutes } from './routes.js';

const byId = id => document.getElementById(id);

// ---- What is shown -----------------------------------------------------------------------------------------------------------------

const pools = new Map();
const showTotals = numberList(byId('totals'));
let snapshot;
let errorsShown;
let certificatesShown;

function show() {
  if (!snapshot) {
    return;
  }
  const down = snapshot.pools.flatMap(({ backends }) => backends).filter(({ healthy }) => !healthy).length;
  document.title = `${down > 0 ? `▼ ${down} down · ` : ''}LoadBalancer`;
  if (document.hidden) {
    return; // Of a tab in the background only the title is seen.
  }
  showTotals(snapshot.totals);
  reconcile(byId('pools'), pools, snapshot.pools, name => poolView(name, act));
  byId('no-pools').hidden = snapshot.pools.length > 0;
  showRoutes(snapshot.routes, snapshot.routeCount);
  showErrors(snapshot.errors);
  showCertificates(snapshot.certificates, new Date(snapshot.time));
}

function showErrors(errors) {
  if (errorsShown === (errorsShown = JSON.stringify(errors))) {
    return;
  }
  const kinds = Object.entries(errors.error_types).map(([type, number]) => `${number} × ${type}`);
  byId('error-types').textContent = errors.total_errors > 0 ? `Since the start: ${kinds.join(', ')}` : 'None since the start.';
  byId('errors').replaceChildren(...errors.recent_errors.toReversed().map(({ type, msg, timestamp }) => line(timestamp, type, msg)));
  byId('errors').hidden = errors.recent_errors.length === 0;
}

const dayMs = 24 * 60 * 60 * 1000;

/** When a certificate is valid, and how much that matters now. Renewed in time it has more than 14 days left. */
function validity({ notBefore, notAfter }, now) {
  const [begin, end] = [new Date(notBefore), new Date(notAfter)];
  const date = time => time.toISOString().slice(0, 10);
  const days = Math.floor((end - now) / dayMs);
  return end < now ? ['bad', `▼ expired on ${date(end)}`]
    : begin > now ? ['bad', `▼ not valid before ${date(begin)}`]
    : [days < 14 ? 'warn' : 'note', `valid until ${date(end)}, ${days} more days`];
}

function showCertificates(certificates, now) {
  byId('certificates-card').hidden = certificates.length === 0;
  const texts = certificates.map(certificate => [certificate.listener, certificate.name ?? certificate.file, ...validity(certificate, now)]);
  if (certificatesShown === (certificatesShown = JSON.stringify(texts))) {
    return;
  }
  byId('certificates').replaceChildren(...texts.map(([listener, file, className, textContent]) =>
    make('li', {}, make('strong', { textContent: listener }), ` ${file} `, make('span', { className, textContent }))));
}

const line = (time, subject, text) => make('li', {}, timeOfDay(time), ' ', make('strong', { textContent: subject }), ` ${text}`);
const logEntry = ({ time, pool, backend, text }) => line(time, [pool, backend].filter(Boolean).join('/'), text);

function showLog(changes) {
  byId('log').ariaLive = 'off'; // What is past is not read out,
  byId('log').replaceChildren(...changes.map(logEntry).toReversed());
}

function showChange(change) {
  byId('log').ariaLive = 'polite'; // what is new is.
  byId('log').prepend(logEntry(change));
  while (byId('log').children.length > 100) {
    byId('log').lastChild.remove();
  }
}

// ---- What is done ------------------------------------------------------------------------------------------------------------------

let done; // What the undo button takes back; it is there as long as there is something.

let sending = Promise.resolve();

/** Sends a change when the one before it was answered: the last one wins. */
function send(pool, backend, change) {
  const answered = sending.then(() => sendNow(pool, backend, change));
  sending = answered.catch(() => {});
  return answered;
}

async function sendNow(pool, backend, change) {
  const response = await fetch(`/api/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(backend)}`, {
    method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(change),
  });
  if (response.status === 401) {
    location.reload(); // The token has changed: the page that asks for it is in our place now.
  }
  if (!response.ok) {
    throw new Error((await response.text()).trim() || `answered ${response.status}`);
  }
  const answer = await response.json();
  Object.assign(find(pool, backend) ?? {}, answer);
  show();
}

const find = (pool, backend) => snapshot.pools.find(({ name }) => name === pool)?.backends.find(({ name }) => name === backend);

async function act(pool, backend, key, value) {
  // Arrow keys change a weight in many steps: one undo takes them all back.
  const isNextStep = key === 'weight' && done?.pool === pool && done.backend === backend && 'weight' in done.change;
  const before = isNextStep ? done.change.weight : find(pool, backend)?.[key];
  const what = key === 'weight' ? `has weight ${value}, had ${before}` : `is ${value}, was ${before}`;
  try {
    await send(pool, backend, { [key]: value });
    toast(`${pool}/${backend} ${what}.`, { pool, backend, change: { [key]: before } });
  } catch (error) {
    toast(`${pool}/${backend} was not changed: ${reasonOf(error)}`);
  }
}

async function undo() {
  if (done) {
    const { pool, backend, change } = done;
    try {
      await send(pool, backend, change);
      toast(`${pool}/${backend} is as it was before.`);
    } catch (error) {
      toast(`${pool}/${backend} was not changed back: ${reasonOf(error)}`, done);
    }
  }
}

const reasonOf = error => error instanceof TypeError ? 'the load balancer does not answer' : error.message; // fetch has no words for it.

function toast(text, undoable) {
  done = undoable;
  byId('toast-text').textContent = text;
  byId('dismiss').hidden = text === '';
  if (!done && document.activeElement === byId('undo')) {
    byId('dismiss').focus(); // A button that goes does not take the focus with it.
  }
  byId('undo').hidden = !done;
}

byId('undo').onclick = undo;
byId('dismiss').onclick = () => toast('');
document.onkeydown = event => {
  if (event.key === 'z' && (event.ctrlKey || event.metaKey) && event.target.localName !== 'input') {
    event.preventDefault();
    undo();
  }
};

// ---- The stream --------------------------------------------------------------------------------------------------------------------

const patience = 5000; // Snapshots come each second: without one for so long the connection is dead, whatever the socket says.
let [lastHeard, lostAt, node] = [Date.now(), null, null];

function connect() {
  const source = new EventSource('/api/events');
  const watch = setInterval(() => Date.now() - lastHeard > patience && retry(), 1000);
  lastHeard = Date.now();

  const on = (name, handle) => source.addEventListener(name, ({ data }) => {
    lastHeard = Date.now();
    handle(JSON.parse(data));
  });
  on('hello', hello => {
    if (node && node !== hello.node) {
      location.reload(); // Another version has another page.
    }
    node = hello.node;
    byId('node').textContent = node;
    recall(hello.history);
    showLog(hello.log);
  });
  on('snapshot', news => {
    snapshot = news;
    connected();
    remember(snapshot);
    show();
  });
  on('change', showChange);
  source.onerror = () => retry(source.readyState === EventSource.CLOSED);

  // Not left to EventSource, which gives up for good where the answer is not a stream.
  async function retry(refused) {
    clearInterval(watch);
    source.close();
    lost();
    const status = refused && await fetch('/api/pools').then(answer => answer.status, () => null);
    if (status === 401) {
      location.reload();
    } else {
      setTimeout(connect, 1000);
    }
  }
}

function connected() {
  lostAt = null;
  document.body.classList.remove('lost');
  set(byId('connection'), { textContent: snapshot.status === 'ok' ? '● Live: every pool can serve' : '▼ Live: a pool has no backend that can serve' });
  byId('connection').className = snapshot.status === 'ok' ? 'good' : 'bad';
}

function lost() {
  lostAt ??= new Date();
  document.body.classList.add('lost');
  set(byId('connection'), { textContent: `✕ Disconnected since ${lostAt.toLocaleTimeString('en-GB')}: what you see is old. Reconnecting …`, className: '' });
}

document.onvisibilitychange = show;
connect();
