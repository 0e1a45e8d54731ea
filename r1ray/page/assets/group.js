// A group: its prompt, and its trajectories side by side.

function groupView(data, group, trajectory, back) {
  const cards = element('div', {
    class: 'cards',
    tabindex: '0',
    role: 'region',
    'aria-label': 'Trajectories of the group, side by side',
  });
  const hasTokens = group.trajectories.some((each) => each.segments.some((segment) => segment.differences));
  const shade = element('input', { type: 'checkbox', checked: hasTokens, onchange: () => fill() });
  const fill = () =>
    cards.replaceChildren(
      ...group.trajectories.map((each) => card(each, group, each.trajectory === trajectory, shade.checked)),
    );
  fill();
  return element(
    'article',
    { 'aria-labelledby': 'group-title' },
    element('h3', { id: 'group-title', tabindex: '-1' }, `Group ${group.group_id}, step ${group.step}`),
    element('p', {}, element('button', { type: 'button', onclick: back }, 'Close')),
    facts(groupFacts(data, group)),
    element(
      'details',
      { open: group.prompt.length < 600 },
      element('summary', {}, 'Prompt'),
      element('div', { class: 'text' }, group.prompt),
    ),
    hasTokens
      ? shadeLine(shade)
      : element('p', { class: 'muted' }, "The learner's log-probabilities of these tokens are not here."),
    cards,
  );
}

function shadeLine(shade) {
  return element(
    'p',
    {},
    element('label', {}, shade, ' Shade tokens by log-probability, learner minus engine: '),
    element('span', { class: 'lower' }, 'learner lower'),
    ' ',
    element('span', { class: 'higher' }, 'learner higher'),
  );
}

function groupFacts(data, group) {
  return [
    ['run', data.parts[group.part].name],
    ['kind', group.kind],
    ['prompt', group.prompt_id],
    ['environment', group.environment],
    ['domain', group.domain],
    ['language', group.language],
    ['reference', group.answer],
    ['group', group.group_status],
    ['dropped because', group.dropped_reason],
  ];
}

function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return element(
    'dl',
    {},
    known.map(([name, value]) =>
      element('div', {}, element('dt', {}, name), element('dd', {}, typeof value === 'number' ? shown(value) : value)),
    ),
  );
}

function card(each, group, isOpened, isShaded) {
  const name = each.trajectory === null ? 'No trajectory arrived' : `Trajectory ${each.trajectory}`;
  const words = largestWords(each.segments);
  return element(
    'section',
    { class: isOpened ? 'card opened' : 'card', 'aria-label': name },
    element('h4', {}, name, isOpened ? element('small', {}, ' (opened)') : null),
    facts(cardFacts(each, group)),
    words ? element('p', { class: 'muted' }, `Largest differences${afterUpdates(each)}: ${words}`) : null,
    each.segments.map((segment) => segmentView(segment, each.segments.length > 1, isShaded)),
  );
}

// What has to be known of the learner's log-probabilities: an update moves them too.
function afterUpdates({ updates }) {
  return updates ? `, after ${count(updates, 'update')} of the step` : '';
}

function cardFacts(each, group) {
  const tests = each.tests && `${each.tests.passed} of ${each.tests.run} run passed, ${each.tests.total} in all`;
  const versions =
    each.versions?.min != null &&
    (each.versions.min === each.versions.max
      ? String(each.versions.min)
      : `${each.versions.min} to ${each.versions.max}`);
  const seconds = Object.entries(each.seconds)
    .filter(([, value]) => value)
    .map(([name, value]) => `${name} ${duration(value)}`)
    .join(', ');
  const others = Object.entries(each.others).map(([name, value]) => [
    name,
    typeof value === 'object' ? JSON.stringify(value).slice(0, 300) : value,
  ]);
  return [
    ['reward', each.reward],
    ...Object.entries(each.rewards),
    ['advantage', each.advantage],
    ['label', each.label],
    ['extracted', each.extracted],
    ['reference', group.answer],
    ['tests', tests],
    ['detail', each.detail],
    ['scoring', each.outcome],
    ['status', each.status],
    ['tokens', each.num_policy_tokens],
    ['turns', each.num_turns > 1 ? each.num_turns : null],
    ['versions', versions || null],
    ['largest mismatch', each.mismatch],
    ['suspected', each.suspicion],
    ['says', each.phrases.join(', ')],
    ['took', seconds],
    ...others,
  ];
}

function namedNumbers(numbers) {
  return Object.entries(numbers)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function segmentView(segment, isOneOfMany, isShaded) {
  const role = segment.tool
    ? `tool ${segment.tool}`
    : segment.role || (segment.kind === 'policy' ? 'assistant' : 'context');
  const branch = segment.branch ? `, branch ${segment.branch}` : '';
  return element(
    'div',
    { class: `segment ${segment.kind}` },
    isOneOfMany ? element('h5', {}, `${role}${branch}`) : null,
    segmentText(segment, isShaded),
    segment.stop ? element('small', {}, `ended at ${JSON.stringify(segment.stop)}`) : null,
    segment.rewards ? element('small', {}, `paid ${namedNumbers(segment.rewards)}`) : null,
  );
}
