// What the operator does: changes of one backend or of several, the question before harm, and undo.
import { hostOf, serves } from './find.js';
import { count, make, set } from './parts.js';

const byId = id => document.getElementById(id);
const keyOf = (pool, backend) => JSON.stringify([pool, backend]);

/**
 * Everything that a part of the page may do. `state.snapshot` is what is known, `state.role` what the token may do; `show` draws the page
 * again.
 */
export function makeHands(state, show) {
  const chosen = new Map();
  let done = null; // what the undo button takes back
  let acting = Promise.resolve();

  const find = (pool, backend) =>
    state.snapshot?.pools.find(({ name }) => name === pool)?.backends.find(({ name }) => name === backend);

  /** One change or undo begins when the one before it was answered: the last one wins, and an undo knows what to take back. */
  const inOrder = action => acting = acting.then(action, action);

  async function send(pool, backend, change) {
    const response = await request(`/api/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(backend)}`, {
      method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(change),
    });
    const { adminState, weight } = await response.json();
    Object.assign(find(pool, backend) ?? {}, { adminState, weight });
    return response.headers.get('Audit-Id');
  }

  /** Takes a change back; refused where somebody else has changed the backend since. Several steps of a weight are no change of their own. */
  const takeBack = ({ pool, backend, change: before, audit }) =>
    audit ? request(`/api/audit/${audit}/undo`, { method: 'POST' }) : send(pool, backend, before);

  async function request(path, options) {
    const response = await fetch(path, options);
    if (response.status === 401) {
      location.reload(); // The token has changed: the page that asks for it is in our place now.
    }
    if (!response.ok) {
      throw new Error((await response.text()).trim() || `answered ${response.status}`);
    }
    return response;
  }

  /** The pools in which nobody would serve any more. */
  function harmed(targets, key, value) {
    const names = [...new Set(targets.map(({ pool }) => pool))];
    const isTarget = new Set(targets.map(({ pool, backend }) => keyOf(pool, backend)));
    return names.filter(pool => {
      const serving = state.snapshot.pools.find(({ name }) => name === pool)?.backends.filter(serves) ?? [];
      const after = serving.filter(backend => !isTarget.has(keyOf(pool, backend.name)) || serves({ ...backend, [key]: value }));
      return serving.length > 0 && after.length === 0;
    });
  }

  /** Changes backends, after a question where that does harm; the message about it offers to take it back. */
  async function change(targets, key, value) {
    const isHarm = harmed(targets, key, value);
    if (isHarm.length > 0 && !await confirmHarm(isHarm, targets, key, value)) {
      return;
    }
    await inOrder(() => changeNow(targets, key, value));
  }

  async function changeNow(targets, key, value) {
    const first = targets[0];
    // Arrow keys change a weight in many steps: one undo takes them all back.
    const isNextStep = targets.length === 1 && key === 'weight' && done?.length === 1 && done[0].pool === first.pool
      && done[0].backend === first.backend && 'weight' in done[0].change;
    const undoable = [];
    const refusals = [];
    for (const { pool, backend } of targets) {
      const before = isNextStep ? done[0].change.weight : find(pool, backend)?.[key];
      try {
        const audit = await send(pool, backend, { [key]: value });
        undoable.push({ pool, backend, change: { [key]: before }, audit: isNextStep ? null : audit });
      } catch (error) {
        refusals.push(`${pool}/${backend} was not changed: ${reasonOf(error)}`);
      }
    }
    const [changed] = undoable;
    const now = key === 'weight' ? `has weight ${value}` : `is ${value}`;
    const had = key === 'weight' ? `had ${changed?.change.weight}` : `was ${changed?.change.adminState}`;
    const text = undoable.length === 0 ? ''
      : undoable.length === 1 ? `${changed.pool}/${changed.backend} ${now}, ${had}.`
      : `${count(undoable.length)} backends: each ${now}.`;
    const more = refusals.length > 1 ? ` (and ${count(refusals.length - 1)} more)` : '';
    toast(`${text} ${refusals[0] ?? ''}${more}`.trim(), undoable.length > 0 ? undoable : null);
    show();
  }

  const undo = () => inOrder(undoNow);

  async function undoNow() {
    const undone = done;
    if (!undone) {
      return;
    }
    const refused = [];
    let reason;
    for (const one of undone.toReversed()) {
      try {
        await takeBack(one);
      } catch (error) {
        refused.push(one);
        reason = reasonOf(error);
      }
    }
    const what = refused.length > 0 ? refused : undone;
    const who = what.length === 1 ? `${what[0].pool}/${what[0].backend}` : `${count(what.length)} backends`;
    toast(refused.length > 0 ? `${who} ${what.length === 1 ? 'was' : 'were'} not changed back: ${reason}`
      : `${who} ${what.length === 1 ? 'is as it was' : 'are as they were'} before.`, refused.length > 0 ? refused : null);
    show();
  }

  const reasonOf = error => error instanceof TypeError ? 'the load balancer does not answer' : error.message; // fetch has no words for it.

  function toast(text, undoable = null) {
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
  document.addEventListener('keydown', event => {
    if (event.key === 'z' && (event.ctrlKey || event.metaKey) && event.target.localName !== 'input') {
      event.preventDefault();
      undo();
    }
  });

  // ---- Several at once -------------------------------------------------------------------------------------------------------------

  function choose(targets, isChosen = true) {
    for (const { pool, backend } of targets) {
      isChosen ? chosen.set(keyOf(pool, backend), { pool, backend }) : chosen.delete(keyOf(pool, backend));
    }
    show();
  }

  function showChosen() {
    for (const [key, { pool, backend }] of chosen) {
      if (!find(pool, backend)) {
        chosen.delete(key); // It has left.
      }
    }
    set(byId('chosen'), { hidden: chosen.size === 0 });
    set(byId('chosen-count'), { textContent: `${count(chosen.size)} chosen` });
  }

  for (const button of byId('chosen').querySelectorAll('[data-state]')) {
    button.onclick = () => change([...chosen.values()], 'adminState', button.dataset.state);
  }
  byId('chosen-weight').onsubmit = event => {
    event.preventDefault();
    change([...chosen.values()], 'weight', byId('chosen-weight-value').valueAsNumber);
  };
  byId('chosen-none').onclick = () => {
    chosen.clear();
    show();
  };

  const ofHost = host => (state.snapshot?.pools ?? []).flatMap(pool =>
    pool.backends.filter(({ address }) => hostOf(address) === host).map(({ name }) => ({ pool: pool.name, backend: name })));

  return {
    show, find, change, choose, showChosen, ofHost,
    isChosen: (pool, backend) => chosen.has(keyOf(pool, backend)),
    chooseHost: host => choose(ofHost(host)),
    isViewer: () => state.role === 'Viewer',
  };
}

const verbs = { Draining: 'Drain', Disabled: 'Disable' };

/** Asks whether what leaves a pool without a backend is really wanted. */
function confirmHarm(pools, targets, key, value) {
  const dialog = byId('harm');
  const lines = pools.map(pool => {
    const names = targets.filter(target => target.pool === pool).map(({ backend }) => backend);
    const who = names.length === 1 ? `${names[0]} is the last backend` : `These ${count(names.length)} are the last backends`;
    const [serve, without] = names.length === 1 ? ['serves', 'it'] : ['serve', 'them'];
    return make('li', { textContent: `${who} of pool ${pool} that ${serve}. Without ${without} everything new there fails.` });
  });
  byId('harm-pools').replaceChildren(...lines);
  byId('harm-do').textContent = `${key === 'weight' ? `Set weight ${value}` : verbs[value] ?? value} anyway`;
  dialog.showModal();
  byId('harm-cancel').focus();
  return new Promise(resolve => {
    byId('harm-do').onclick = () => dialog.close('do');
    byId('harm-cancel').onclick = () => dialog.close('');
    dialog.oncancel = () => dialog.returnValue = '';
    dialog.onclose = () => resolve(dialog.returnValue === 'do');
  });
}
