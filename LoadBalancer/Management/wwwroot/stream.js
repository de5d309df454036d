// The connection to the load balancer: a snapshot of everything once, and then what has changed.

const patience = 5000; // Something comes each second: without it for so long the connection is dead, whatever the socket says.

/** Applies `changes`, as `update` events have them, to a snapshot. */
export function apply(snapshot, { pools, routes, ...fields }) {
  Object.assign(snapshot, fields);
  if (pools?.all) {
    snapshot.pools = pools.all;
  }
  for (const { backends, ...changed } of pools?.changed ?? []) {
    const pool = snapshot.pools.find(({ name }) => name === changed.name);
    Object.assign(pool, changed);
    pool.backends = changedList(pool.backends, backends);
  }
  snapshot.routes = changedList(snapshot.routes, routes);
}

function changedList(items, changes) {
  for (const [field, values] of Object.entries(changes?.set ?? {})) {
    for (let i = 0; i < values.length; i += 2) {
      items[values[i]][field] = values[i + 1];
    }
  }
  return changes?.all ?? items;
}

/** Connects, and again whenever the connection is lost. The functions are called with what has come. */
export function connect({ hello, snapshot, update, change, lost }) {
  let lastHeard = Date.now();
  const source = new EventSource('/api/events?changes');
  const watch = setInterval(() => Date.now() - lastHeard > patience && retry(), 1000);
  const on = (name, handle) => source.addEventListener(name, ({ data }) => {
    lastHeard = Date.now();
    handle(JSON.parse(data));
  });
  on('hello', hello);
  on('snapshot', snapshot);
  on('update', update);
  on('change', change);
  source.onerror = () => retry(source.readyState === EventSource.CLOSED);

  // Not left to EventSource, which gives up for good where the answer is not a stream.
  async function retry(refused) {
    clearInterval(watch);
    source.close();
    lost();
    const status = refused && await fetch('/api/node').then(answer => answer.status, () => null);
    if (status === 401) {
      location.reload(); // The token has changed: the page that asks for it is in our place now.
    } else {
      setTimeout(connect, 1000, { hello, snapshot, update, change, lost });
    }
  }
}

/** What an address of the API answers, as JSON; null where it cannot be had. */
export async function ask(path) {
  try {
    const answer = await fetch(path, { headers: { Accept: 'application/json' } });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // The head of the page says that the connection is lost.
  }
}
