// The page: charts first, rollouts when they are unpacked.

async function main() {
  const data = JSON.parse(await unpack('data'));
  const charts = new Charts(data);
  const page = document.getElementById('page');
  const sections = [
    runsSection(data, charts),
    diagnosisSection(data),
    ...chartSections(data, charts),
    timelineSection(data),
    ledgerSection(data),
    stagesSection(data),
  ];
  document.getElementById('top').append(madeWords(data));
  page.replaceChildren(...sections.filter(Boolean));
  document.getElementById('top').append(contents([...page.querySelectorAll('section > h2')], data));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    charts.redraw();
    redrawTimelines();
  });
  await new Promise(requestAnimationFrame); // the charts are drawn before rollouts are unpacked
  const rollouts = data.num_sampled === null ? new ServedRollouts() : new StaticRollouts(await unpack('groups'));
  page.append(await new RolloutList(data, rollouts).section());
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));
}

function madeWords(data) {
  return element(
    'p',
    { class: 'muted' },
    `Made ${new Date(1000 * data.made).toLocaleString('en-GB')} by r1ray ${data.version}`,
  );
}

function contents(titles) {
  const links = [...titles.map((title) => [title.parentElement.id, title.textContent]), ['rollouts', 'Rollouts']];
  return element(
    'nav',
    { 'aria-label': 'Contents' },
    links.map(([id, words]) => element('a', { href: `#${id}` }, words)),
  );
}

main().catch((error) => {
  document
    .getElementById('page')
    .prepend(element('p', { role: 'alert' }, `The page could not be drawn: ${error.message}`));
});
