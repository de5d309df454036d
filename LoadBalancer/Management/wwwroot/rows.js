// A table of which only the rows exist that can be seen, and some around them: a thousand backends are as quick as three.
import { make, set } from './parts.js';

const around = 6; // lines above and below what is seen, so that Tab and a slow hand find them there

/**
 * Shows rows in the `body` of a table inside `holder`, which scrolls. All rows are equally high; on a narrow screen several cards may be
 * beside each other. `create` makes the row of a name.
 */
export function virtualRows(holder, body, create) {
  const rows = new Map();
  const gaps = [];
  let items = [];
  let [isNear, place, scrolled] = [false, null, 0]; // place: what was measured; nothing is, while rows are drawn

  function draw() {
    place ??= measure(holder, body);
    const { columns, lineHeight, seen } = place;
    const first = Math.max(0, Math.floor(scrolled / lineHeight) - around) * columns;
    const last = Math.min(items.length, (Math.ceil((scrolled + seen) / lineHeight) + around) * columns);
    const shown = [];
    items.forEach((item, index) => {
      // What has the focus stays, wherever it is scrolled to.
      if (isNear && index >= first && index < last || rows.get(item.name)?.node.contains(document.activeElement)) {
        shown.push(index);
      }
    });
    show(shown);
  }

  function show(shown) {
    const kept = new Set(shown.map(index => items[index].name));
    for (const [name, row] of rows) {
      if (!kept.has(name)) {
        row.node.remove();
        rows.delete(name);
      }
    }
    const nodes = [];
    let [next, usedGaps] = [0, 0];
    const skip = to => {
      if (to > next) {
        const gap = gaps[usedGaps] ??= make('tr', { className: 'gap', ariaHidden: 'true' });
        const height = `${Math.ceil((to - next) / place.columns) * place.lineHeight}px`;
        if (gap.style.height !== height) {
          gap.style.height = height;
        }
        usedGaps++;
        nodes.push(gap);
      }
    };
    for (const index of shown) {
      skip(index);
      const item = items[index];
      if (!rows.has(item.name)) {
        rows.set(item.name, create(item.name));
      }
      const row = rows.get(item.name);
      set(row.node, { ariaRowIndex: String(index + 2) }); // The head is the first.
      row.update(item);
      nodes.push(row.node);
      next = index + 1;
    }
    skip(items.length);
    gaps.slice(usedGaps).forEach(gap => gap.remove());
    nodes.forEach((node, index) => {
      if (body.children[index] !== node) {
        // Only a moved node keeps its focus.
        body[node.parentNode === body && body.moveBefore ? 'moveBefore' : 'insertBefore'](node, body.children[index] ?? null);
      }
    });
  }

  holder.addEventListener('scroll', () => {
    scrolled = holder.scrollTop;
    draw();
  }, { passive: true });
  new ResizeObserver(() => {
    place = measure(holder, body);
    scrolled = holder.scrollTop;
    draw();
  }).observe(holder);
  // What is far away has no rows at all.
  new IntersectionObserver(([{ isIntersecting }]) => {
    isNear = isIntersecting;
    draw();
  }, { rootMargin: '50% 0px' }).observe(holder);
  return {
    names: () => [...rows.keys()],
    update: newItems => {
      items = newItems;
      set(body.parentNode, { ariaRowCount: String(items.length + 1) });
      draw();
    },
    clear: () => {
      rows.forEach(row => row.node.remove());
      rows.clear();
    },
    /** Scrolls to a row, and returns its node. */
    reveal: name => {
      const index = items.findIndex(item => item.name === name);
      if (index >= 0 && !rows.has(name)) {
        place = measure(holder, body);
        holder.scrollTop = scrolled = Math.floor(index / place.columns) * place.lineHeight;
        isNear = true;
        draw();
      }
      return rows.get(name)?.node;
    },
  };
}

// The rows are as high as the stylesheet says, whatever is in them. A table that is not shown yet may become as high as the window.
function measure(holder, body) {
  const style = getComputedStyle(body);
  return {
    columns: style.display === 'grid' ? style.gridTemplateColumns.split(' ').length : 1,
    lineHeight: parseFloat(style.lineHeight) * Number(style.getPropertyValue('--lines')),
    seen: holder.clientHeight || innerHeight,
  };
}
