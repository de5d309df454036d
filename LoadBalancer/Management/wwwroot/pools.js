// Pools and their backends: what they do, which of them stands out, and the buttons that change them.
import { chart, chartKey, highest, historyOf } from './chart.js';
import { count, duration, make, numberList, numbers, reconcile, set, share, times } from './parts.js';

const verbs = { Ready: 'Bring back', Draining: 'Drain', Disabled: 'Disable' };

/**
 * The columns of the table. One is shown where some backend has its field; `fill` prepares a cell and returns what brings it up to
 * date, from the backend and from what only its pool knows: `slow`, `longest` and `scales`.
 */
const columns = [
  {
    field: 'name', title: 'Backend', fill: cell => {
      const [name, address] = [make('strong'), make('span', { className: 'note' })];
      cell.append(name, address);
      return backend => {
        set(name, { textContent: backend.name });
        set(address, { textContent: `${backend.address ?? ''}${backend.backup ? ' · backup' : ''}` });
      };
    },
  },
  {
    field: 'healthy', title: 'Health', fill: cell => {
      const [state, why] = [make('span'), make('span', { className: 'note' })];
      cell.append(state, why);
      return ({ healthy, reason, ramp }) => {
        set(state, { className: healthy ? 'good' : 'bad', textContent: healthy ? '● Up' : '▼ Down' });
        set(why, { textContent: healthy && ramp < 1 ? `warming up: ${share(ramp)} of its weight` : reason ?? '' });
      };
    },
  },
  {
    field: 'adminState', title: 'Admin state', fill: (cell, pool, act) => {
      const [state, note, ...buttons] = [make('span'), make('span', { className: 'note' }), make('button'), make('button')];
      cell.append(make('span', {}, state, note), make('span', { className: 'buttons' }, ...buttons));
      return ({ name, adminState, inFlight }) => {
        set(state, { className: adminState === 'Ready' ? '' : 'away', textContent: { Ready: '▶ ', Draining: '◐ ', Disabled: '■ ' }[adminState] + adminState });
        set(note, { textContent: adminState === 'Ready' ? '' : inFlight > 0 ? `${count(inFlight)} to finish` : 'nothing left' });
        const others = Object.keys(verbs).filter(other => other !== adminState);
        buttons.forEach((button, index) => set(button, { textContent: verbs[others[index]], ariaLabel: `${verbs[others[index]]} ${name}` }));
        buttons.forEach((button, index) => button.onclick = event => {
          // The second half of a double click would take the first one back.
          if (event.detail < 2) {
            act(pool, name, 'adminState', others[index]);
          }
        });
      };
    },
  },
  {
    field: 'weight', title: 'Weight', fill: (cell, pool, act) => {
      const input = make('input', { type: 'number', min: 0, max: 1000, required: true });
      cell.append(input);
      input.onkeydown = event => {
        if (event.key === 'Escape') {
          input.value = input.defaultValue;
        }
      };
      return ({ name, weight }) => {
        const edited = input.value !== input.defaultValue; // Keep what the operator is typing.
        set(input, { defaultValue: String(weight), ariaLabel: `Weight of ${name}` });
        if (!edited) {
          set(input, { value: input.defaultValue });
        }
        input.onchange = async () => {
          if (input.reportValidity() && input.value !== input.defaultValue) {
            const sent = input.value;
            await act(pool, name, 'weight', Number(sent));
            if (input.value === sent) {
              input.value = input.defaultValue; // What holds now, also where it was refused.
            }
          }
        };
      };
    },
  },
  numberColumn('load'),
  numberColumn('inFlight', (value, { maxInFlight }) => maxInFlight == null ? count(value) : `${count(value)} of ${count(maxInFlight)}`),
  numberColumn('requestsPerSecond'),
  numberColumn('connectionsPerSecond'),
  numberColumn('bytesInPerSecond'),
  numberColumn('bytesOutPerSecond'),
  numberColumn('errorShare'),
  numberColumn('outlier'),
  numberColumn('p50Ms'),
  {
    field: 'p99Ms', title: 'p99', fill: cell => {
      const [value, bar, note] = [make('span'), make('span', { className: 'bar' }), make('span', { className: 'warn' })];
      cell.append(value, bar, note);
      return ({ name, p99Ms }, { slow, longest }) => {
        set(value, { textContent: duration(p99Ms) });
        bar.style.setProperty('--share', (p99Ms ?? 0) / longest);
        set(note, { textContent: slow.has(name) ? `▲ ${times(slow.get(name))} the others` : '' });
      };
    },
  },
  chartColumn('requestsPerSecond'),
  chartColumn('bytesOutPerSecond'),
];

function numberColumn(field, format = numbers[field][1]) {
  return { field, title: numbers[field][0], fill: cell => backend => set(cell, { textContent: format(backend[field], backend) }) };
}

function chartColumn(field) {
  return {
    field, title: 'Last 5 minutes', className: 'chart', fill: (cell, pool) => {
      const draw = chart(cell);
      return ({ name }, { scales }) => draw(name, historyOf(pool, name), scales);
    },
  };
}

const middle = sorted => sorted[(sorted.length - 1) >> 1];

/** Those backends in service that answer much later than the others of their pool, and how many times later: name → factor. */
function findSlow(backends, before) {
  const slow = new Map();
  const working = backends.filter(({ adminState, p99Ms }) => adminState === 'Ready' && p99Ms != null);
  for (const { name, p99Ms } of working) {
    const others = middle(working.filter(other => other.name !== name).map(other => other.p99Ms).sort((a, b) => a - b));
    // Slow from twice the time of the others until it is down to one and a half times, so that the mark does not flicker. Differences of
    // up to 10 ms do not count.
    if (p99Ms > others * (before.has(name) ? 1.5 : 2) && p99Ms > others + 10) {
      slow.set(name, p99Ms / Math.max(others, 0.1));
    }
  }
  return slow;
}

/** What a broker is, and since when it has heard of the other one. */
function brokerText({ role, peer, healthCheckAgeMs, alternativePingAgeMs, clients, workers, takeOvers }) {
  const since = milliseconds => `${duration(milliseconds)} ago`;
  return [
    role === 'Main' ? `Main, HCHECK ${since(healthCheckAgeMs ?? 0)}` : `${role} of ${peer}, ${healthCheckAgeMs == null ? 'not heard yet' : `HCHECK ${since(healthCheckAgeMs)}`}`,
    ...(role !== 'Main' ? [] : [alternativePingAgeMs == null ? 'no alternative' : `alternative ${peer}, ALTPING ${since(alternativePingAgeMs)}`]),
    ...(role !== 'Main' ? [] : [`${count(clients)} clients`, `${count(workers)} workers`]),
    ...(takeOvers > 0 ? [`take-overs: ${count(takeOvers)}`] : []),
  ].join(' · ');
}

/** What backends were compared with in the last interval of Outliers. */
function outliersText({ backends, leastSuccessShare, longestMedianMs, ejected }) {
  return [
    leastSuccessShare == null && longestMedianMs == null ? `outliers: too few backends had enough requests (${count(backends)})` : 'outliers',
    ...(leastSuccessShare == null ? [] : [`below ${share(leastSuccessShare)} succeeded`]),
    ...(longestMedianMs == null ? [] : [`median of ${duration(longestMedianMs)} or more`]),
    `${count(ejected)} ejected`,
  ].join(' · ');
}

/** A pool: its numbers, what stands out in it, and its backends. `act` sends a change. */
export function poolView(name, act) {
  const node = document.getElementById('pool').content.firstElementChild.cloneNode(true);
  const part = selector => node.querySelector(selector);
  const [rows, draw, list] = [new Map(), chart(part('.chart')), numberList(part('dl'))];
  let [shown, context] = [[], { slow: new Map() }];
  const [ownKey, rowKey] = [chartKey(), chartKey()];
  part('.chart').append(ownKey.node);
  node.ariaLabel = `Pool ${name}`;
  part('h2').textContent = name;
  part('caption').textContent = `Backends of pool ${name}`;

  const rowView = backend => {
    const cells = shown.map(column => make(column.field === 'name' ? 'th' : 'td', { className: column.className ?? column.field }));
    cells.forEach((cell, index) => cell.dataset.title = shown[index].title);
    cells[0].scope = 'row';
    const updates = cells.map((cell, index) => shown[index].fill(cell, name, act));
    const row = make('tr', {}, ...cells);
    return {
      node: row, update: item => {
        set(row, { className: !item.healthy ? 'is-down' : item.adminState !== 'Ready' ? 'is-away' : context.slow.has(backend) ? 'is-slow' : '' });
        updates.forEach(update => update(item, context));
      },
    };
  };

  const showBroker = broker => {
    set(part('.broker'), { hidden: !broker, textContent: broker ? brokerText(broker) : '' });
  };

  const showFindings = (backends, { slow }, broker) => {
    const refused = broker?.refused.map(({ port, reason, count: number }) => `${count(number)} × ${reason} at ${port}`) ?? [];
    const findings = [
      ['bad', '▼', 'two serve as the main', broker?.conflict ? [`this one and ${broker.peer}`] : []],
      ['warn', '▲', 'refused', refused],
      ['bad', '▼', 'down', backends.filter(({ healthy }) => !healthy).map(backend => backend.name)],
      ['warn', '▲', 'slow', [...slow].map(([slowOne, factor]) => `${slowOne} (p99 ${times(factor)} the others)`)],
      ['away', '◐', 'draining', backends.filter(({ adminState }) => adminState === 'Draining').map(backend => backend.name)],
      ['away', '■', 'disabled', backends.filter(({ adminState }) => adminState === 'Disabled').map(backend => backend.name)],
    ].filter(([, , , names]) => names.length > 0);
    const lines = findings.map(([className, icon, what, names]) => make('li', { className, textContent: `${icon} ${what}: ${names.join(', ')}` }));
    part('.findings').replaceChildren(...lines.length > 0 || backends.length === 0 ? lines : [make('li', { className: 'good', textContent: '● all well' })]);
  };

  return {
    node, update: pool => {
      const { backends } = pool;
      set(part('.policy'), { textContent: pool.hashKey ? `${pool.policy} by ${pool.hashKey}` : pool.policy ?? '' });
      showBroker(pool.broker);
      set(part('.outliers'), { hidden: !pool.outliers, textContent: pool.outliers ? outliersText(pool.outliers) : '' });
      list(pool);
      const own = historyOf(name);
      const ownScales = { area: highest(own.area), line: highest(own.line), isRelayed: own.isRelayed };
      draw(`Pool ${name}`, own, ownScales);
      ownKey.update(ownScales);

      // One that was there stays: a load that comes and goes would take away whatever has the focus.
      const wanted = columns.filter(column => shown.includes(column) || backends.some(backend => backend[column.field] !== undefined));
      if (String(wanted.map(({ title }) => title)) !== String(shown.map(({ title }) => title))) {
        shown = wanted;
        rows.forEach(row => row.node.remove());
        rows.clear();
        part('thead tr').replaceChildren(...shown.map(({ field, title, className }) =>
          make('th', { scope: 'col', textContent: title, title: numbers[field]?.[2] ?? '', className: className ?? field })));
        part('thead .chart')?.append(rowKey.node);
      }

      const answering = backends.map(({ p99Ms }) => p99Ms).filter(Number.isFinite).sort((a, b) => a - b);
      const highestOf = key => highest(backends.map(backend => highest(historyOf(name, backend.name)[key])));
      context = {
        slow: findSlow(backends, context.slow),
        longest: Math.max(answering.at(-1) ?? 0, 3 * (middle(answering) ?? 0), 1), // Bars of equals stay short: one that stands out is long.
        scales: { area: highestOf('area'), line: highestOf('line'), isRelayed: own.isRelayed },
      };
      rowKey.update(context.scales);
      showFindings(backends, context, pool.broker);
      reconcile(part('tbody'), rows, backends, rowView);
      part('table').hidden = backends.length === 0;
      part('.empty').hidden = backends.length > 0;
    },
  };
}
