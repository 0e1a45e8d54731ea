// The text of a segment, with its tokens shaded by how far the learner's log-probability is from the engine's, and a
// mark where another policy version sampled on.

const LEAST = 5,
  MOST = 100; // hundredths of a nat: what is shaded, and what is shaded most

function segmentText(segment, isShaded) {
  const box = element('div', { class: 'text' });
  if (!segment.lengths) {
    box.append(segment.text);
    return box;
  }
  const characters = [...segment.text]; // as the engine counts them: an emoji is one
  const versions = new Map((segment.versions ?? []).map((span) => [span.start, span.version]));
  let at = 0,
    plain = '';
  const flush = () => {
    box.append(plain);
    plain = '';
  };
  segment.lengths.forEach((length, token) => {
    if (versions.has(token) && (token > 0 || versions.size > 1)) {
      flush();
      box.append(element('span', { class: 'version' }, `version ${versions.get(token)}`));
    }
    const text = characters.slice(at, (at += length)).join(''),
      difference = segment.differences?.[token] ?? 0;
    if (isShaded && text && Math.abs(difference) >= LEAST) {
      flush();
      box.append(shaded(text, difference));
    } else plain += text;
  });
  plain += characters.slice(at).join('');
  flush();
  return box;
}

function shaded(text, difference) {
  const made = element(
    'span',
    { class: difference < 0 ? 'lower' : 'higher', title: `learner - engine: ${(difference / 100).toFixed(2)} nats` },
    text,
  );
  made.style.setProperty('--strength', `${Math.round(10 + 40 * Math.min(1, Math.abs(difference) / MOST))}%`);
  return made;
}

// The tokens on which learner and engine differ most, in words.
function largestWords(segments) {
  const found = segments.flatMap((segment) => {
    if (!segment.differences) return [];
    const characters = [...segment.text];
    let at = 0;
    return segment.lengths.map((length, token) => [
      characters.slice(at, (at += length)).join(''),
      segment.differences[token],
    ]);
  });
  const largest = found
    .filter(([, difference]) => Math.abs(difference) >= LEAST)
    .sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]))
    .slice(0, 5);
  return largest
    .map(([text, difference]) => `${JSON.stringify(text)} ${difference > 0 ? '+' : ''}${(difference / 100).toFixed(2)}`)
    .join(', ');
}
