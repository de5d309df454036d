// The columns of the table of backends. One is shown where some backend has its field; `fill` prepares a cell and returns what brings it
// up to date, from the backend and from what only its pool knows: `slow`, `longest` and `scales`.
import { chart, historyOf } from './chart.js';
import { count, duration, make, numbers, set, share, times } from './parts.js';

export const verbs = { Ready: 'Bring back', Draining: 'Drain', Disabled: 'Disable' };
export const stateText = state => ({ Ready: '▶ ', Draining: '◐ ', Disabled: '■ ' }[state] ?? '') + state;

export const columns = [
  {
    field: 'name', title: 'Backend', fill: (cell, pool, hands) => {
      const [choose, name] = [make('input', { type: 'checkbox' }), make('button', { className: 'open' })];
      const address = make('span', { className: 'note' });
      cell.append(make('div', {}, choose, make('span', {}, name, address)));
      choose.onchange = () => hands.choose([{ pool, backend: name.textContent }], choose.checked);
      name.onclick = () => hands.open(pool, name.textContent);
      return backend => {
        set(choose, { ariaLabel: `Choose ${backend.name}`, checked: hands.isChosen(pool, backend.name), disabled: hands.isViewer() });
        set(name, { textContent: backend.name, title: backend.name });
        const note = `${backend.address ?? ''}${backend.backup ? ' · backup' : ''}`;
        set(address, { textContent: note, title: note });
      };
    },
  },
  {
    field: 'healthy', title: 'Health', fill: cell => {
      const [state, why] = [make('span'), make('span', { className: 'note' })];
      cell.append(state, why);
      return ({ healthy, reason, ramp, since }) => {
        const title = since ? `since ${new Date(since).toLocaleString('en-GB')}` : '';
        set(state, { className: healthy ? 'good' : 'bad', textContent: healthy ? '● Up' : '▼ Down', title });
        const text = healthy && ramp < 1 ? `warming up: ${share(ramp)} of its weight` : reason ?? '';
        set(why, { textContent: text, title: text });
      };
    },
  },
  {
    field: 'adminState', title: 'Admin state', fill: (cell, pool, hands) => {
      const [state, note, ...buttons] = [make('span'), make('span', { className: 'note' }), make('button'), make('button')];
      cell.append(make('span', {}, state, note), make('span', { className: 'buttons' }, ...buttons));
      return ({ name, adminState, inFlight }) => {
        set(state, { className: adminState === 'Ready' ? '' : 'away', textContent: stateText(adminState) });
        set(note, { textContent: adminState === 'Ready' ? '' : inFlight > 0 ? `${count(inFlight)} to finish` : 'nothing left' });
        showVerbs(buttons, name, adminState, hands, to => hands.change([{ pool, backend: name }], 'adminState', to));
      };
    },
  },
  {
    field: 'weight', title: 'Weight', fill: (cell, pool, hands) => {
      const input = make('input', { type: 'number', min: 0, max: 1000, required: true });
      cell.append(input);
      return weightInput(input, pool, hands);
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

/** Buttons for the admin states that a backend does not have. */
export function showVerbs(buttons, name, adminState, hands, change) {
  const others = Object.keys(verbs).filter(other => other !== adminState);
  buttons.forEach((button, index) => {
    set(button, { textContent: verbs[others[index]], ariaLabel: `${verbs[others[index]]} ${name}`, disabled: hands.isViewer() });
    button.onclick = event => {
      // The second half of a double click would take the first one back.
      if (event.detail < 2) {
        change(others[index]);
      }
    };
  });
}

/** Lets a field change the weight of a backend; returns what brings it up to date. */
export function weightInput(input, pool, hands) {
  input.onkeydown = event => {
    if (event.key === 'Escape' && input.value !== input.defaultValue) {
      input.value = input.defaultValue;
      event.stopPropagation();
    }
  };
  return ({ name, weight }) => {
    const isEdited = input.value !== input.defaultValue; // Keep what the operator is typing.
    set(input, { defaultValue: String(weight), ariaLabel: `Weight of ${name}`, disabled: hands.isViewer() });
    if (!isEdited) {
      set(input, { value: input.defaultValue });
    }
    input.onchange = async () => {
      if (input.reportValidity() && input.value !== input.defaultValue) {
        const sent = input.value;
        await hands.change([{ pool, backend: name }], 'weight', Number(sent));
        if (input.value === sent) {
          input.value = input.defaultValue; // What holds now, also where it was refused.
        }
      }
    };
  };
}

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
