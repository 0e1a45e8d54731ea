// Charts of metrics, each with a line for each run, a description, and a table of its numbers. A chart is drawn when it
// comes into view. Pointing at a step shows the values of all runs there, in all charts.

class Charts {
  constructor(data) {
    this.parts = data.parts;
    this.guide = data.guide;
    this.hidden = new Set();
    this.smooth = 1;
    this.drawn = new Map(); // box -> [chart, metric]
    this.seen = new IntersectionObserver(
      (entries) =>
        entries
          .filter((entry) => entry.isIntersecting)
          .forEach((entry) => {
            this.seen.unobserve(entry.target);
            this.draw(entry.target, entry.target.dataset.metric);
          }),
      { rootMargin: '200px' },
    );
    new ResizeObserver(() => this.drawn.forEach(([chart]) => chart.resize())).observe(document.body);
  }

  figure({ metric, unit, meaning }) {
    const box = element('div', {
      class: 'chart',
      role: 'img',
      'data-metric': metric,
      'aria-label': this.description(metric),
    });
    const numbers = element(
      'details',
      { ontoggle: () => numbers.open && this.fill(numbers, metric) },
      element(
        'summary',
        {},
        this.guide[metric]?.healthy ? 'Numbers, and what is healthy' : 'Numbers',
        element('span', { class: 'hidden' }, ` of ${metric}`),
      ),
    );
    this.seen.observe(box);
    return element(
      'figure',
      {},
      element(
        'figcaption',
        {},
        element('b', {}, metric),
        unit ? ` (${unit})` : '',
        meaning ? element('span', {}, meaning) : null,
      ),
      box,
      numbers,
    );
  }

  // The points of a metric of one run: [[x, y], ...].
  points(part, metric) {
    const line = this.parts[part].lines[metric];
    if (!line) return [];
    const points = (line.x ?? this.parts[part].steps).map((x, at) => [x, line.y[at]]);
    return points.filter(([, y]) => y !== null);
  }

  smoothed(part, metric) {
    const points = this.points(part, metric);
    if (this.smooth === 1 || this.parts[part].lines[metric]?.x) return points;
    return points.map(([x], at) => {
      const last = points.slice(Math.max(0, at + 1 - this.smooth), at + 1);
      return [x, last.reduce((sum, [, y]) => sum + y, 0) / last.length];
    });
  }

  description(metric) {
    const told = this.parts.map((part, number) => {
      const points = this.points(number, metric);
      if (!points.length) return null;
      const [first, last] = [points[0], points.at(-1)];
      const values = points.map(([, y]) => y);
      const low = values.reduce((a, b) => Math.min(a, b)),
        high = values.reduce((a, b) => Math.max(a, b));
      return (
        `${part.name}: from ${shown(first[1])} at step ${first[0]} to ${shown(last[1])} at step ${last[0]}, ` +
        `between ${shown(low)} and ${shown(high)}`
      );
    });
    return `${metric}. ${told.filter(Boolean).join('. ') || 'No values'}.`;
  }

  fill(details, metric) {
    if (details.querySelector('table')) return;
    const { healthy, remedy } = this.guide[metric] ?? {};
    if (healthy) details.append(element('p', {}, `Healthy: ${healthy}.`, remedy ? ` If not: ${remedy}.` : ''));
    const known = this.parts.map((_, part) => new Map(this.points(part, metric)));
    const steps = [...new Set(known.flatMap((points) => [...points.keys()]))].sort((a, b) => a - b);
    const every = Math.ceil(steps.length / 200);
    const rows = steps.filter((_, at) => at % every === 0 || at === steps.length - 1);
    const names = this.parts.map((part) => part.name);
    details.append(
      table(
        ['step', ...names],
        rows.map((step) => [step, ...known.map((points) => points.get(step) ?? '')]),
        every === 1 ? metric : `${metric}, one point of ${every}`,
      ),
    );
  }

  draw(box, metric) {
    this.drawn.get(box)?.[0].dispose();
    const chart = echarts.init(box);
    chart.setOption(this.option(metric));
    this.drawn.set(box, [chart, metric]);
    chart.on('updateAxisPointer', (event) => this.point(chart, event));
  }

  redraw() {
    this.drawn.forEach(([, metric], box) => this.draw(box, metric));
  }

  // Show the same step in all charts that are drawn.
  point(from, event) {
    if (this.isPointing || !event.axesInfo?.length) return;
    this.isPointing = true;
    this.drawn.forEach(([chart]) => {
      if (chart === from) return;
      const x = chart.convertToPixel({ xAxisIndex: 0 }, event.axesInfo[0].value);
      if (Number.isFinite(x)) chart.dispatchAction({ type: 'showTip', x, y: 40 });
    });
    this.isPointing = false;
  }

  option(metric) {
    const muted = { color: colour('muted') },
      rule = { lineStyle: { color: colour('rule') } };
    return {
      animation: false,
      grid: { left: 8, right: 26, top: 14, bottom: 18, containLabel: true },
      tooltip: {
        trigger: 'axis',
        renderMode: 'richText',
        confine: true,
        valueFormatter: shown,
        backgroundColor: colour('card'),
        borderColor: colour('rule'),
        textStyle: { color: colour('ink'), fontSize: 12 },
      },
      xAxis: {
        type: 'value',
        min: 'dataMin',
        max: 'dataMax',
        minInterval: 1,
        axisLabel: muted,
        name: 'step',
        nameLocation: 'middle',
        nameGap: 20,
        nameTextStyle: muted,
        splitLine: { show: false },
      },
      yAxis: { type: 'value', scale: !isShare(metric), axisLabel: { ...muted, formatter: shown }, splitLine: rule },
      series: this.parts.flatMap((part, number) => (this.hidden.has(number) ? [] : this.series(part, number, metric))),
    };
  }

  series(part, number, metric) {
    const data = this.smoothed(number, metric),
      look = lineOf(number);
    if (!data.length) return [];
    const line = {
      type: 'line',
      name: part.name,
      data,
      showSymbol: data.length <= 40,
      symbolSize: 5,
      itemStyle: { color: look.color },
      lineStyle: { ...look, width: 1.8 },
    };
    return [
      line,
      ...intervals(this.points(number, `${metric}_low`), this.points(number, `${metric}_high`), look.color),
    ];
  }
}

function isShare(metric) {
  return /rate$|pass@|cons@|share$|fraction$|length_mean$/.test(metric);
}
