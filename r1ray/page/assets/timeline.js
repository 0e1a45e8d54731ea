// The timeline of a run: a lane for each actor, with what it did from when to when.

// The colour of each kind. No two that are seen together look alike: kinds of waiting are thin.
const KINDS = {
  start: 5,
  generate: 0,
  evaluate: 4,
  score: 2,
  learn: 1,
  publish: 3,
  load: 8,
  pause: 5,
  wait: 6,
  save: 9,
  export: 10,
  record: 7,
  idle: 6,
  other: 5,
};
const THIN = new Set(['pause', 'wait', 'idle']);
// What lasts no time.
const MOMENTS = { fault: 'bad', resume: 'ink' };

function timelineSection(data) {
  const parts = data.timelines.flatMap((timeline, run) =>
    timeline.spans.length ? [runTimeline(data, timeline, run)] : [],
  );
  const none = element('p', {}, 'No run here recorded what its actors did.');
  return section('timeline', 'Who was busy', parts.length ? parts : none);
}

function runTimeline(data, timeline, run) {
  const name = data.runs[run].name;
  const box = element('div', { class: 'chart lanes', role: 'img', 'aria-label': laneWords(timeline, name) });
  box.style.height = `${90 + 26 * timeline.actors.length}px`;
  drawWhenSeen(box, () => timelineOption(timeline));
  const rows = timeline.busy.map(([actor, kind, seconds, share]) => [
    timeline.actors[actor],
    kind,
    seconds,
    `${Math.round(100 * share)} %`,
  ]);
  const numbers = element(
    'details',
    {},
    element('summary', {}, 'Numbers', element('span', { class: 'hidden' }, ` of ${name}`)),
    table(['actor', 'did', 'seconds', 'share of the run'], rows, `what each actor of ${name} did`),
  );
  const notes = [timeline.note, timeline.dropped ? `${count(timeline.dropped, 'event')} were not recorded` : ''].filter(
    Boolean,
  );
  return element(
    'figure',
    {},
    element('figcaption', {}, element('b', {}, name), notes.length ? element('span', {}, notes.join('; ')) : null),
    kindLegend(timeline),
    box,
    numbers,
  );
}

function laneWords(timeline, name) {
  const most = timeline.busy
    .slice(0, 6)
    .map(([actor, kind, , share]) => `${timeline.actors[actor]} ${kind} ${Math.round(100 * share)} %`);
  return `Timeline of ${name}, ${duration(timeline.seconds)}. Largest shares: ${most.join(', ')}.`;
}

function kindLegend(timeline) {
  return element(
    'ul',
    { class: 'legend', 'aria-label': 'Kinds of work' },
    timeline.kinds.map((kind) => {
      const mark = element('span', { class: THIN.has(kind) ? 'mark thin' : 'mark', 'aria-hidden': 'true' });
      mark.style.background = `var(--${nameOf(kind)})`;
      return element('li', {}, mark, ` ${kind}`);
    }),
  );
}

function nameOf(kind) {
  return MOMENTS[kind] ?? `line-${KINDS[kind] ?? 5}`;
}

function timelineOption(timeline) {
  const muted = { color: colour('muted') };
  return {
    animation: false,
    grid: { left: 8, right: 26, top: 6, bottom: 56, containLabel: true },
    tooltip: {
      renderMode: 'richText',
      confine: true,
      backgroundColor: colour('card'),
      borderColor: colour('rule'),
      textStyle: { color: colour('ink'), fontSize: 12 },
      formatter: ({ value }) => spanWords(timeline, value),
    },
    dataZoom: [
      {
        type: 'slider',
        height: 18,
        bottom: 6,
        filterMode: 'weakFilter',
        textStyle: muted,
        labelFormatter: (value) => duration(value),
      },
      { type: 'inside', zoomOnMouseWheel: 'ctrl', moveOnMouseMove: true, filterMode: 'weakFilter' },
    ],
    xAxis: {
      type: 'value',
      min: 0,
      max: timeline.seconds,
      axisLabel: { ...muted, formatter: duration, hideOverlap: true },
      splitLine: { show: false },
    },
    yAxis: {
      type: 'category',
      data: timeline.actors,
      inverse: true,
      axisLabel: { ...muted, width: 130, overflow: 'truncate' },
    },
    series: [
      {
        type: 'custom',
        clip: true,
        data: timeline.spans,
        encode: { x: [2, 3], y: 0 },
        renderItem: (at, api) => spanShape(timeline, at, api),
      },
    ],
  };
}

function spanShape(timeline, at, api) {
  const [begin, y] = api.coord([api.value(2), api.value(0)]),
    [end] = api.coord([api.value(3), api.value(0)]);
  const kind = timeline.kinds[api.value(1)],
    isMoment = kind in MOMENTS;
  const height = api.size([0, 1])[1] * (THIN.has(kind) ? 0.25 : isMoment ? 0.95 : 0.65);
  const right = at.coordSys.x + at.coordSys.width;
  const shape = echarts.graphic.clipRectByRect(
    {
      x: isMoment ? Math.min(begin, right - 3) : begin,
      y: y - height / 2,
      width: Math.max(end - begin, isMoment ? 3 : 0.6),
      height,
    },
    { x: at.coordSys.x, y: at.coordSys.y, width: at.coordSys.width, height: at.coordSys.height },
  );
  return shape && { type: 'rect', shape, style: { fill: colour(nameOf(kind)), opacity: 0.15 + 0.85 * api.value(4) } };
}

function spanWords(timeline, [actor, kind, begin, end, share, detail]) {
  const words = `${timeline.actors[actor]}: ${timeline.kinds[kind]}\n${duration(begin)} to ${duration(end)}${share < 1 ? `, ${Math.round(100 * share)} % of it` : ''}`;
  return detail ? `${words}\n${detail.slice(0, 120)}` : words;
}

const drawnOptions = new Map(); // box -> a function that makes its option

function drawWhenSeen(box, option) {
  const seen = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      drawnOptions.set(box, option);
      const chart = echarts.init(box);
      chart.setOption(option());
      new ResizeObserver(() => chart.resize()).observe(box);
    },
    { rootMargin: '200px' },
  );
  seen.observe(box);
}

function redrawTimelines() {
  drawnOptions.forEach((option, box) => echarts.getInstanceByDom(box)?.setOption(option(), true));
}
