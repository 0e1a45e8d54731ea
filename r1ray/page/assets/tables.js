// Tables of runs: how their configurations differ, their stages, their ledgers, and what was lost.

function runsSection(data, charts) {
  const ends = data.runs.filter((run) => run.end).map((run) => element('li', {}, `${run.name}: ${run.end}`));
  const changed = (part, isShown) => {
    charts.hidden[isShown ? 'delete' : 'add'](part);
    charts.redraw();
  };
  const smooth = element(
    'select',
    {
      onchange: () => {
        charts.smooth = Number(smooth.value);
        charts.redraw();
      },
    },
    [1, 5, 20, 50].map((steps) =>
      element('option', { value: steps }, steps === 1 ? 'as they are' : `mean of the last ${steps} points`),
    ),
  );
  const thinned = data.parts
    .filter((part) => part.every > 1)
    .map((part) => element('li', {}, `${part.name}: each point is the mean of ${part.every} steps`));
  return section(
    'runs',
    'Runs',
    legend(data.parts, changed),
    element('p', {}, element('label', {}, 'Show curves of training ', smooth)),
    element('ul', { class: 'notes' }, thinned, ends),
    data.runs.length > 1 ? differenceTable(data) : null,
  );
}

function differenceTable(data) {
  const names = data.runs.map((run) => run.name);
  if (!data.differences.length) return element('p', {}, 'The configurations of the runs are the same.');
  return table(
    ['key', ...names],
    data.differences.map((row) => [element('code', {}, row.key), ...row.values.map((value) => value ?? 'not there')]),
    'What the configurations differ in',
  );
}

function stagesSection(data) {
  const tables = data.runs
    .filter((run) => run.stages.length)
    .map((run) =>
      table(
        ['stage', 'recipe', 'state', 'reads', 'makes', 'result', 'time'],
        run.stages.map(stageRow),
        `Stages of ${run.name}`,
        'wide stacked',
      ),
    );
  return tables.length ? section('stages', 'Stages', tables) : null;
}

function stageRow(stage) {
  const metrics = Object.entries(stage.metrics).map(([name, value]) => `${name} ${shown(value)}`);
  return [
    stage.name,
    stage.recipe,
    stage.state,
    stage.reads.join(', '),
    element('code', {}, stage.made.split('/').slice(-3).join('/')),
    metrics.join(', '),
    duration(stage.seconds),
  ];
}

function ledgerSection(data) {
  const parts = data.parts.filter((part) => Object.keys(part.ledger).length);
  const accounts = [...new Set(parts.flatMap((part) => Object.keys(part.ledger)))].sort(byAccount);
  const ledger = parts.length
    ? table(
        ['groups', ...parts.map((part) => part.name)],
        accounts.map((name) => [name.replace('dropped/', 'dropped: '), ...parts.map((part) => part.ledger[name] ?? 0)]),
        'Ledger of prompts: issued = trained + dropped + in flight',
      )
    : element('p', {}, 'No ledger was recorded.');
  const faults = data.parts.flatMap((part) =>
    part.faults.map((fault) => [part.name, fault.step, fault.what, fault.count]),
  );
  const lost = faults.length
    ? table(['run', 'step', 'what', 'count'], faults.slice(0, 300), 'What was lost or failed, and made up for')
    : element('p', {}, 'No fault of an actor was recorded.');
  const resumed = data.timelines.flatMap((timeline, run) =>
    (timeline.resumes ?? []).map(([at, why]) => [data.runs[run].name, duration(at), why]),
  );
  const commands = resumed.length
    ? table(['run', 'after', 'why'], resumed.slice(0, 300), 'Commands that went on with what an earlier one left')
    : null;
  return section('ledger', 'Ledger and faults', ledger, lost, commands);
}

function byAccount(one, other) {
  const order = ['issued', 'trained', 'dropped', 'in_flight'];
  const place = (name) => order.indexOf(name.split('/')[0]) + (order.includes(name.split('/')[0]) ? 0 : 9);
  return place(one) - place(other) || one.localeCompare(other);
}
