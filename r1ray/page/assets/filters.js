// The form above the list of rollouts. A query has the values that are set, by the names that the server knows too.

const PAGE = 25;
const CHOSEN = [
  'part',
  'kind',
  'environment',
  'domain',
  'language',
  'label',
  'status',
  'outcome',
  'group_status',
  'dropped_reason',
];
const CHOSEN_WORDS = {
  part: 'run',
  kind: 'kind',
  label: 'label',
  status: 'status',
  outcome: 'scoring',
  group_status: 'group',
  dropped_reason: 'dropped because',
};
const READY = {
  mismatch: 'Largest mismatch',
  suspected: 'Suspected reward hacks',
  phrases: 'Re-evaluation phrases',
  dropped: 'Dropped groups',
};
const SORTS = { '': 'in order', step: 'by step', reward: 'by reward', length: 'by length', mismatch: 'by mismatch' };

class Filters {
  constructor(data, choices, changed) {
    this.ready = '';
    this.changed = changed;
    this.fields = element(
      'div',
      { class: 'fields' },
      this.selects(data, choices),
      this.ranges(),
      this.sorts(),
      labelled('text contains', element('input', { type: 'search', name: 'text' })),
    );
    this.buttons = Object.entries(READY).map(([name, words]) =>
      element(
        'button',
        { type: 'button', 'aria-pressed': 'false', 'data-ready': name, onclick: () => this.choose(name) },
        words,
      ),
    );
    this.form = element(
      'form',
      {
        'aria-label': 'Filters',
        onsubmit: (event) => {
          event.preventDefault();
          changed();
        },
        onchange: (event) => event.target.type !== 'search' && changed(),
      },
      element('p', { class: 'ready' }, this.buttons),
      this.fields,
      element(
        'p',
        {},
        element('button', { type: 'submit' }, 'Find'),
        ' ',
        element('button', { type: 'button', onclick: () => this.clear() }, 'Clear'),
      ),
    );
  }

  selects(data, choices) {
    return CHOSEN.filter(
      (name) => choices[name]?.length > 1 || (name === 'dropped_reason' && choices[name]?.length),
    ).map((name) =>
      labelled(
        CHOSEN_WORDS[name] ?? name,
        element(
          'select',
          { name },
          element('option', { value: '' }, 'any'),
          choices[name].map((value) => element('option', { value }, name === 'part' ? data.parts[value].name : value)),
        ),
      ),
    );
  }

  ranges() {
    return ['step', 'reward', 'length'].map((name) =>
      element(
        'fieldset',
        {},
        element('legend', {}, name === 'length' ? 'length (tokens)' : name),
        ['min', 'max'].map((end) =>
          element('input', {
            type: 'number',
            step: 'any',
            name: `${name}_${end}`,
            'aria-label': `${name}, ${end === 'min' ? 'at least' : 'at most'}`,
            placeholder: end === 'min' ? 'from' : 'to',
          }),
        ),
      ),
    );
  }

  sorts() {
    return [
      labelled(
        'sort',
        element(
          'select',
          { name: 'sort' },
          Object.entries(SORTS).map(([value, words]) => element('option', { value }, words)),
        ),
      ),
      labelled(
        'order',
        element(
          'select',
          { name: 'order' },
          element('option', { value: 'down' }, 'highest first'),
          element('option', { value: 'up' }, 'lowest first'),
        ),
      ),
    ];
  }

  clear() {
    this.form.reset();
    this.ready = '';
    this.mark();
  }

  choose(name) {
    this.ready = this.ready === name ? '' : name;
    this.mark();
  }

  mark() {
    this.buttons.forEach((button) => button.setAttribute('aria-pressed', String(button.dataset.ready === this.ready)));
    this.changed();
  }

  query(offset) {
    const values = Object.fromEntries([...new FormData(this.form)].filter(([, value]) => value !== ''));
    for (const name of Object.keys(values)) if (/_(min|max)$/.test(name)) values[name] = Number(values[name]);
    if (this.ready === 'mismatch' && !values.sort) values.sort = 'mismatch';
    return { ...values, ready: this.ready, offset };
  }
}

function labelled(words, field) {
  return element('label', {}, element('span', {}, words), field);
}
