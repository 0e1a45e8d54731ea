// How the line of each run looks: a colour and a dash pattern, so that nobody has to tell colours apart.

const DASHES = ['solid', [7, 4], [2, 3], [10, 3, 2, 3], [14, 4], [4, 2, 4, 6]];

function lineOf(part) {
  return { color: colour(`line-${part % 6}`), type: DASHES[(part + Math.floor(part / 6)) % DASHES.length] };
}

function swatch(part) {
  const { type } = lineOf(part);
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  for (const [name, value] of Object.entries({ width: 44, height: 10, 'aria-hidden': 'true' }))
    svg.setAttribute(name, value);
  const look = { x1: 0, x2: 44, y1: 5, y2: 5, 'stroke-width': 3 };
  if (Array.isArray(type)) look['stroke-dasharray'] = type.join(' ');
  for (const [name, value] of Object.entries(look)) line.setAttribute(name, value);
  line.style.stroke = `var(--line-${part % 6})`;
  svg.append(line);
  return svg;
}

// The runs with a box each, which shows or hides their lines.
function legend(parts, changed) {
  const boxes = parts.map((part, number) => {
    const box = element('input', { type: 'checkbox', checked: true, onchange: () => changed(number, box.checked) });
    const steps = part.steps.length ? `to step ${part.steps.at(-1)}` : 'no step yet';
    return element('li', {}, element('label', {}, box, swatch(number), ` ${part.name} `, element('small', {}, steps)));
  });
  return element('ul', { class: 'legend', 'aria-label': 'Runs' }, boxes);
}

// Points whose intervals can be told apart as bars.
const MOST_BARS = 40;

// The series of intervals around the points of a line, as bars, or as a band where there are many; none where they are
// not known.
function intervals(low, high, color) {
  if (!low.length || low.length !== high.length) return [];
  const ends = low.map(([x, y], at) => [x, y, high[at][1]]);
  const shared = { type: 'custom', name: 'interval', tooltip: { show: false }, silent: true, itemStyle: { color } };
  if (ends.length > MOST_BARS) {
    const steps = ends.slice(1).map((end, at) => [...ends[at], ...end]);
    return [{ ...shared, data: steps, encode: { x: [0, 3], y: [1, 2, 4, 5], tooltip: [] }, renderItem: bandOf(color) }];
  }
  return [
    {
      ...shared,
      data: ends,
      encode: { x: 0, y: [1, 2], tooltip: [] },
      renderItem: (_, api) => {
        const [x, below] = api.coord([api.value(0), api.value(1)]),
          [, above] = api.coord([api.value(0), api.value(2)]);
        return {
          type: 'line',
          shape: { x1: x, y1: below, x2: x, y2: above },
          style: { stroke: color, lineWidth: 1.5, opacity: 0.5 },
        };
      },
    },
  ];
}

// The piece of a band between two points.
function bandOf(color) {
  return (_, api) => {
    const at = (x, y) => api.coord([api.value(x), api.value(y)]);
    return {
      type: 'polygon',
      shape: { points: [at(0, 1), at(3, 4), at(3, 5), at(0, 2)] },
      style: { fill: color, opacity: 0.2 },
    };
  };
}
