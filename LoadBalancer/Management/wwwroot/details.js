// One backend: since when it is as it is, what its last probe said, how its attempts ended; and what can be done with it.
import { showVerbs, stateText, weightInput } from './columns.js';
import { hostOf } from './find.js';
import { count, duration, make, set } from './parts.js';
import { ask } from './stream.js';

const byId = id => document.getElementById(id);
const panel = byId('details');
const every = 2000;
let [shown, opener, asked, weigh, buttons] = [null, null, null, null, []];

const moment = time => time ? `${new Date(time).toLocaleString('en-GB')} (${ago(time)})` : '–';

function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  return seconds < 120 ? `${seconds} s ago` : seconds < 7200 ? `${Math.floor(seconds / 60)} min ago` : `${Math.floor(seconds / 3600)} h ago`;
}

const kinds = { connect: 'could not connect', timeout: 'time-out', reset: 'reset', malformed: 'malformed', incomplete: 'ended in the middle' };
const counted = (record, titles = {}) => Object.entries(record ?? {}).filter(([, number]) => number > 0)
  .map(([name, number]) => `${count(number)} × ${titles[name] ?? name}`).join(', ') || 'none';

function facts(backend) {
  const { lastProbe, failuresByKind, responses } = backend;
  return [
    ['Address', backend.address],
    [backend.healthy ? 'Up since' : 'Down since', moment(backend.since)],
    ['Reason', backend.reason || '–'],
    ['Last probe', lastProbe ? `${lastProbe.succeeded ? '●' : '▼'} ${lastProbe.answer}, ${moment(lastProbe.time)}` : 'none: it is not probed'],
    ['Admin state', stateText(backend.adminState)],
    ['In flight', backend.maxInFlight == null ? count(backend.inFlight) : `${count(backend.inFlight)} of ${count(backend.maxInFlight)}`],
    ...backend.p99Ms === undefined ? [] : [['p50, p99', `${duration(backend.p50Ms)}, ${duration(backend.p99Ms)}`]],
    ['Attempts', count(backend.requests)],
    ['Failures', `${count(backend.failures)}${backend.failures > 0 ? `: ${counted(failuresByKind, kinds)}` : ''}`],
    ['Responses', counted(responses)],
  ];
}

/** Opens the panel of a backend. */
export function openDetails(pool, name, hands) {
  if (!panel.open) {
    opener = document.activeElement;
  }
  shown = { pool, name };
  byId('details-title').textContent = `${pool}/${name}`;
  buttons = [make('button'), make('button')];
  const input = make('input', { type: 'number', min: 0, max: 1000, required: true, id: 'details-weight' });
  weigh = weightInput(input, pool, hands);
  byId('details-actions').replaceChildren(...buttons, make('label', {}, 'Weight ', input));
  byId('details-host').onclick = () => hands.chooseHost(hostOf(hands.find(pool, name)?.address));
  panel.show();
  byId('details-close').focus();
  refresh(hands);
}

async function refresh(hands) {
  clearTimeout(asked);
  if (!panel.open) {
    return;
  }
  const { pool, name } = shown;
  const answer = await ask(`/api/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(name)}`);
  if (shown.pool === pool && shown.name === name) {
    answer && showFacts({ ...answer, ...pick(hands.find(pool, name)) });
    showDetails(hands);
  }
  clearTimeout(asked);
  asked = setTimeout(refresh, every, hands);
}

// Of what the stream has told, which is as new.
const pick = backend => backend && { adminState: backend.adminState, weight: backend.weight };

function showFacts(backend) {
  const texts = facts(backend).flat();
  const known = [...byId('details-facts').children];
  if (known.length !== texts.length) {
    byId('details-facts').replaceChildren(...texts.map((textContent, index) => make(index % 2 ? 'dd' : 'dt', { textContent })));
  } else {
    known.forEach((node, index) => set(node, { textContent: texts[index] }));
  }
}

/** Brings its buttons up to date. */
export function showDetails(hands) {
  const backend = panel.open ? hands.find(shown.pool, shown.name) : null;
  if (!backend) {
    return;
  }
  const { pool, name } = shown;
  showVerbs(buttons, name, backend.adminState, hands, to => hands.change([{ pool, backend: name }], 'adminState', to));
  weigh(backend);
  const host = hostOf(backend.address);
  const others = hands.ofHost(host).length;
  const textContent = `Choose all ${count(others)} of host ${host}`;
  set(byId('details-host'), { textContent, disabled: hands.isViewer(), hidden: others < 2 });
}

function close() {
  panel.close();
  byId('details-actions').replaceChildren();
  clearTimeout(asked);
  opener?.isConnected && opener.focus();
}

byId('details-close').onclick = close;
panel.onkeydown = event => event.key === 'Escape' && close();
