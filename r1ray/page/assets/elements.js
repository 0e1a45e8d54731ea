// Elements and words. Texts go into the page as text alone: nothing here, and nothing else in the page, parses HTML.

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (name === 'class') made.className = value;
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function section(id, title, ...children) {
  return element(
    'section',
    { id, 'aria-labelledby': `${id}-title` },
    element('h2', { id: `${id}-title`, tabindex: '-1' }, title),
    ...children,
  );
}

// A table that scrolls by itself where it is wider than the page. Each cell has its column's name for narrow screens.
function table(heads, rows, caption, look = 'wide') {
  const numeric = heads.map((_, column) => rows.some((row) => typeof row[column] === 'number'));
  const cell = (value, column) =>
    element(
      'td',
      { class: numeric[column] ? 'number' : null, 'data-head': heads[column] },
      value instanceof Node ? value : typeof value === 'number' ? shown(value) : (value ?? ''),
    );
  return element(
    'div',
    { class: look, tabindex: '0', role: 'region', 'aria-label': caption },
    element('p', { class: 'muted' }, caption),
    element(
      'table',
      { 'aria-label': caption },
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          heads.map((head, column) => element('th', { scope: 'col', class: numeric[column] ? 'number' : null }, head)),
        ),
      ),
      element(
        'tbody',
        {},
        rows.map((row) => element('tr', {}, row.map(cell))),
      ),
    ),
  );
}

function shown(value) {
  if (value === null || value === undefined) return '';
  if (Number.isInteger(value)) return value.toLocaleString('en');
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return '';
  if (seconds < 100) return `${shown(seconds < 1 ? seconds : Math.round(seconds * 10) / 10)} s`;
  const two = (number) => String(Math.floor(number)).padStart(2, '0');
  return seconds < 6000
    ? `${Math.floor(seconds / 60)}:${two(seconds % 60)} min`
    : `${Math.floor(seconds / 3600)}:${two((seconds % 3600) / 60)} h`;
}

function count(number, one, many = `${one}s`) {
  return `${shown(number)} ${number === 1 ? one : many}`;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

async function unpack(id) {
  const text = document.getElementById(id).textContent;
  if (!text) return '';
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
}
