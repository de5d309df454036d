// The dashboard: shows what /api/events tells, and sends what the operator wants.
import { keepAudit } from './audit.js';
import { forget, remember } from './chart.js';
import { clusterTrouble, keepCluster } from './cluster.js';
import { openDetails, showDetails } from './details.js';
import { keepErrors, showErrors } from './errors.js';
import { isSearching, serves, states, wanted } from './find.js';
import { makeHands } from './hands.js';
import { keepNode, lineOfLog, showCertificates } from './node.js';
import { count, make, numberList, set, several } from './parts.js';
import { countOf, fold, found, goTo, showPools } from './pools.js';
import { showRoutes } from './routes.js';
import { apply, connect } from './stream.js';

const byId = id => document.getElementById(id);
const state = { snapshot: null, role: null };
const showTotals = numberList(byId('totals'));
const hands = { ...makeHands(state, show), sort, open: (pool, backend) => openDetails(pool, backend, hands) };

// ---- What is shown -----------------------------------------------------------------------------------------------------------------

function show() {
  const { snapshot } = state;
  if (!snapshot) {
    return;
  }
  const down = snapshot.pools.reduce((sum, { backends }) => sum + backends.filter(({ healthy }) => !healthy).length, 0);
  document.title = `${down > 0 ? `▼ ${down} down · ` : ''}LoadBalancer`;
  if (document.hidden) {
    return; // Of a tab in the background only the title is seen.
  }
  showTotals(snapshot.totals);
  showPools(snapshot.pools, hands);
  byId('no-pools').hidden = snapshot.pools.length > 0;
  byId('find').hidden = snapshot.pools.length === 0;
  showFound();
  hands.showChosen();
  showDetails(hands);
  showRoutes(snapshot.routes, snapshot.routeCount);
  showErrors(snapshot.errors);
  showCertificates(snapshot.certificates, new Date(snapshot.time));
}

function showLog(changes) {
  byId('log-lines').ariaLive = 'off'; // What is past is not read out,
  byId('log').replaceChildren(...changes.map(lineOfLog).toReversed());
}

function showChange(change) {
  byId('log-lines').ariaLive = 'polite'; // what is new is.
  byId('log').prepend(lineOfLog(change));
  while (byId('log').children.length > 100) {
    byId('log').lastChild.remove();
  }
}

// ---- What is looked for ------------------------------------------------------------------------------------------------------------

const filterButtons = Object.entries(states).map(([name, { icon, title }]) => {
  const button = make('button', { ariaPressed: 'false' });
  button.onclick = () => filter(name);
  byId('filters').append(button);
  return { name, button, text: `${icon} ${title}` };
});

function filter(name) {
  wanted.filters.has(name) ? wanted.filters.delete(name) : wanted.filters.add(name);
  show();
}

function showFound() {
  for (const { name, button, text } of filterButtons) {
    const number = countOf(name);
    set(button, { textContent: `${text} ${count(number)}`, ariaPressed: String(wanted.filters.has(name)) });
    button.classList.toggle('some', number > 0);
  }
  const backends = found();
  const all = state.snapshot.pools.reduce((sum, pool) => sum + pool.backends.length, 0);
  const pools = new Set(backends.map(({ pool }) => pool)).size;
  set(byId('found'), {
    textContent: isSearching() ? `${count(backends.length)} of ${several(all, 'backend')}, in ${several(pools, 'pool')}`
      : `${several(all, 'backend')}, in ${several(state.snapshot.pools.length, 'pool')}`,
  });
  set(byId('choose-found'), { hidden: !isSearching() || backends.length === 0 || hands.isViewer() });
  set(byId('choose-found'), { textContent: `Choose all ${count(backends.length)}` });
}

byId('choose-found').onclick = () => hands.choose(found());
byId('search').oninput = () => {
  wanted.words = byId('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  show();
};
byId('search').onkeydown = event => {
  const [first] = found();
  if (event.key === 'Enter' && first) {
    event.preventDefault();
    goTo(first.pool, first.backend);
  } else if (event.key === 'Escape') {
    byId('search').value = '';
    byId('search').oninput();
  }
};
document.addEventListener('keydown', event => {
  const isTyping = event.target.matches?.('input, select, textarea') || document.querySelector('dialog:modal');
  if (event.key === '/' && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId('search').focus();
    byId('search').select();
  }
});

/** Sorts by a column: first the largest number or the first name, then the other way round, then the worst first again. */
function sort(field) {
  const isText = ['name', 'healthy', 'adminState'].includes(field);
  const next = wanted.sort !== field ? [field, !isText] : wanted.isDescending === !isText ? [field, isText] : [null, false];
  [wanted.sort, wanted.isDescending] = next;
  byId('sort').value = wanted.sort ?? '';
  show();
}

byId('sort').onchange = () => {
  const field = byId('sort').value;
  [wanted.sort, wanted.isDescending] = [field || null, !['', 'name'].includes(field)];
  show();
};
for (const isFolded of [true, false]) {
  byId(isFolded ? 'fold' : 'unfold').onclick = () => {
    fold(isFolded);
    show();
  };
}

// ---- The stream --------------------------------------------------------------------------------------------------------------------

let [lostAt, node, headline] = [null, null, null];

connect({
  hello: hello => {
    if (node && node !== hello.node) {
      location.reload(); // Another version has another page.
    }
    node = hello.node;
    state.role = hello.user?.role ?? null;
    byId('node').textContent = node;
    forget();
    showLog(hello.log);
  },
  snapshot: news => {
    state.snapshot = news;
    refresh();
  },
  update: changes => {
    apply(state.snapshot, changes);
    refresh();
  },
  change: showChange,
  lost: () => {
    lostAt ??= new Date();
    document.body.classList.add('lost');
    const text = `✕ Disconnected since ${lostAt.toLocaleTimeString('en-GB')}: what you see is old. Reconnecting …`;
    if (headline !== (headline = text)) {
      byId('connection').className = '';
      byId('connection').textContent = text;
    }
  },
});

function refresh() {
  lostAt = null;
  document.body.classList.remove('lost');
  remember(state.snapshot);
  showHeadline();
  show();
}

/** What is wrong, with links to where. */
function showHeadline() {
  const { pools, status } = state.snapshot;
  const broken = pools.filter(({ backends }) => !backends.some(serves)).map(({ name }) => name);
  const down = pools.filter(({ name, backends }) => !broken.includes(name) && backends.some(({ healthy }) => !healthy)).map(({ name }) => name);
  const [isGood, trouble] = [status === 'ok', clusterTrouble()];
  const key = JSON.stringify([isGood, broken, down, trouble]);
  if (headline === (headline = key)) {
    return;
  }
  byId('connection').className = isGood ? 'good' : 'bad';
  byId('connection').replaceChildren(
    isGood ? '● Live: every pool can serve' : '▼ Live: no backend can serve in ', ...isGood ? [] : linksTo(broken),
    ...down.length > 0 ? [make('span', { className: 'bad' }, isGood ? ' · ▼ down in ' : ', some are down in ', ...linksTo(down))] : [],
    ...trouble ? [make('a', { className: 'bad', href: '#cluster-card', textContent: ' · ▼ cut off from its cluster' })] : []);
}

function linksTo(names) {
  const links = names.slice(0, 5).flatMap((name, index) => {
    const link = make('a', { href: `#pool-${encodeURIComponent(name)}`, textContent: name });
    link.onclick = event => {
      event.preventDefault();
      clearSearch();
      goTo(name);
    };
    return [...index > 0 ? [', '] : [], link];
  });
  return names.length > 5 ? [...links, ` and ${count(names.length - 5)} more`] : links;
}

function clearSearch() {
  [wanted.words, byId('search').value] = [[], ''];
  wanted.filters.clear();
}

document.onvisibilitychange = show;
keepErrors();
keepAudit();
keepNode(({ user, cluster }) => {
  state.role = user?.role ?? state.role;
  keepCluster(cluster, () => state.snapshot && !lostAt && showHeadline());
});
