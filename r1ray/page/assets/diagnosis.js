// What is wrong with the runs, where it can be known, and the keys to turn.

function diagnosisSection(data) {
  const found = data.parts.flatMap((part) =>
    part.findings.map((finding) => element('li', {}, ...findingWords(data.parts.length > 1 ? part.name : '', finding))),
  );
  const none = element('p', {}, 'Nothing that the rules know is wrong.');
  return section('diagnosis', 'Diagnosis', found.length ? element('ul', { class: 'findings' }, found) : none);
}

function findingWords(name, finding) {
  const where = `Step ${finding.step}, ${finding.metric}`;
  return [
    element('strong', {}, name ? `${name}: ${finding.sentence}` : finding.sentence),
    element('p', {}, finding.advice),
    finding.example ? element('p', { class: 'example' }, `Example: ${finding.example}`) : null,
    element('p', { class: 'muted' }, where),
  ].filter(Boolean);
}
