// The rollout browser: filters, a page of rollouts, and the group of the one that is opened.

class RolloutList {
  constructor(data, rollouts) {
    this.data = data;
    this.rollouts = rollouts;
    this.offset = this.asked = 0;
    this.told = element('p', { role: 'status' });
    this.list = element('div');
    this.group = element('div', { id: 'group' });
  }

  async section() {
    const { num_rollouts: all, num_sampled: sampled } = this.data;
    const words =
      sampled === null || sampled === all
        ? `All ${count(all, 'rollout')} of the runs.`
        : `This file carries a sample: ${shown(sampled)} of ${count(all, 'rollout')}. r1ray report --serve shows all of them.`;
    this.filters = new Filters(this.data, await this.rollouts.choices(), () => this.show(0));
    const made = section(
      'rollouts',
      'Rollouts',
      element('p', {}, words),
      this.filters.form,
      this.told,
      this.list,
      this.group,
    );
    await this.show(0);
    return made;
  }

  async show(offset) {
    const asked = (this.asked += 1),
      query = this.filters.query(offset);
    try {
      await this.rollouts.prepare(query, ({ done, of, found }) => {
        if (asked === this.asked)
          this.told.textContent = `Looking through the files: ${done} of ${of}, ${count(found, 'rollout')} so far.`;
      });
      const page = await this.rollouts.page(query);
      if (asked !== this.asked) return; // another query was made meanwhile
      this.offset = offset;
      this.fill(page);
    } catch (error) {
      if (asked === this.asked) this.told.textContent = `It could not be read: ${error.message}`;
    }
  }

  fill({ total, reasons, rows }) {
    const last = this.offset + rows.length;
    const why = Object.entries(reasons ?? {}).map(([reason, number]) => `${reason} ${shown(number)}`);
    this.told.textContent = total
      ? `${shown(this.offset + 1)} to ${shown(last)} of ${count(total, 'rollout')}` +
        (why.length ? `. Dropped groups' rollouts by reason: ${why.join(', ')}` : '')
      : 'No rollout is like that.';
    this.rows = rows;
    this.list.replaceChildren(rows.length ? this.table(rows) : '', this.pager(total));
  }

  table(rows) {
    const isSeveral = this.data.parts.length > 1;
    const heads = [
      'group / trajectory',
      ...(isSeveral ? ['run'] : []),
      'step',
      'reward',
      'label',
      'tokens',
      'status',
      'text',
      'marks',
    ];
    const cells = rows.map((row) => [
      this.opener(row),
      ...(isSeveral ? [this.data.parts[row.part].name] : []),
      row.step,
      row.reward,
      row.label ?? row.outcome ?? '',
      row.length,
      row.status ?? '',
      snippet(row),
      marksOf(row),
    ]);
    return table(heads, cells, 'List of rollouts', 'wide stacked');
  }

  opener(row) {
    const name = row.trajectory === null ? row.group_id : `${row.group_id} / ${row.trajectory}`;
    return element(
      'button',
      { type: 'button', class: 'open', onclick: (event) => this.open(row, event.currentTarget) },
      name,
    );
  }

  pager(total) {
    const button = (words, offset, isOff) =>
      element(
        'button',
        {
          type: 'button',
          disabled: isOff,
          onclick: async () => {
            await this.show(offset);
            this.told.scrollIntoView({ block: 'nearest' });
            this.list.querySelector('.open')?.focus();
          },
        },
        words,
      );
    return element(
      'p',
      { class: 'pager' },
      button('Previous page', Math.max(0, this.offset - PAGE), this.offset === 0),
      ' ',
      button('Next page', this.offset + PAGE, this.offset + PAGE >= total),
    );
  }

  async open(row, opener) {
    const group = await this.rollouts.group(row.id);
    const back = () => {
      this.group.replaceChildren();
      (opener.isConnected ? opener : this.told).focus();
    };
    this.group.replaceChildren(groupView(this.data, group, row.trajectory, back));
    const title = this.group.querySelector('h3');
    title.focus();
    title.scrollIntoView({ block: 'start' });
  }
}

function snippet(row) {
  const text = row.text || row.prompt || '';
  return element('span', { class: 'snippet' }, text.length > 160 ? `${text.slice(0, 160)}…` : text);
}

function marksOf(row) {
  const marks = [
    row.suspicion,
    row.dropped_reason ? `dropped: ${row.dropped_reason}` : row.group_status === 'uniform' ? 'uniform group' : null,
    row.phrases?.length ? `says ${row.phrases.slice(0, 3).join(', ')}` : null,
    row.mismatch ? `mismatch ${shown(row.mismatch)}` : null,
  ].filter(Boolean);
  return marks.join('; ');
}
