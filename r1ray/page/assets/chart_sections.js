// The sections of charts: those of the catalog, and any other metric that a reader chooses.

function chartSections(data, charts) {
  const names = [...new Set(data.charts.map((chart) => chart.section))];
  const drawn = names.map((name, number) =>
    section(
      `charts-${number}`,
      name,
      element(
        'div',
        { class: 'charts' },
        data.charts.filter((chart) => chart.section === name).map((chart) => charts.figure(chart)),
      ),
    ),
  );
  return [...drawn, anyMetric(data, charts)];
}

// A chart of any other metric, which is chosen from a list.
function anyMetric(data, charts) {
  const shownAlready = new Set(data.charts.map((chart) => chart.metric));
  const names = [...new Set(data.parts.flatMap((part) => Object.keys(part.lines)))].sort();
  const others = names.filter((name) => !shownAlready.has(name) && !/_(low|high)$/.test(name));
  if (!others.length) return element('div');
  const place = element('div', { class: 'charts' });
  const select = element(
    'select',
    {
      onchange: () =>
        select.value &&
        place.prepend(charts.figure({ metric: select.value, meaning: data.guide[select.value]?.meaning })),
    },
    element('option', { value: '' }, 'choose a metric'),
    others.map((name) => element('option', {}, name)),
  );
  return section('charts-any', 'Every other metric', element('p', {}, element('label', {}, 'Draw ', select)), place);
}
