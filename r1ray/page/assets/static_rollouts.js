// The rollouts that the file carries. It answers the same questions as served_rollouts.js.

class StaticRollouts {
  constructor(lines) {
    this.groups = lines
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
      .sort((one, other) => one.at - other.at);
    this.rows = this.groups.flatMap((group, id) =>
      group.trajectories.map((trajectory) => rowOf(group, trajectory, id)),
    );
  }

  async choices() {
    const found = {};
    for (const name of CHOSEN) {
      found[name] = [
        ...new Set(
          this.rows.map((row) => row[name]).filter((value) => value !== null && value !== undefined && value !== ''),
        ),
      ].sort();
    }
    return found;
  }

  async prepare() {}

  async page(query) {
    const found = this.rows.filter((row) => isWanted(row, query));
    const reasons = {};
    for (const row of found)
      if (row.dropped_reason) reasons[row.dropped_reason] = (reasons[row.dropped_reason] ?? 0) + 1;
    if (query.sort) {
      const sign = query.order === 'down' ? -1 : 1;
      found.sort((one, other) => byValue(one[query.sort], other[query.sort], sign));
    }
    return { total: found.length, reasons, rows: found.slice(query.offset, query.offset + PAGE) };
  }

  async group(id) {
    return this.groups[id];
  }
}

function rowOf(group, trajectory, id) {
  const text = trajectory.segments
    .filter((segment) => segment.kind === 'policy')
    .map((segment) => segment.text)
    .join('');
  return { ...group, ...trajectory, id, text, length: trajectory.num_policy_tokens };
}

function isWanted(row, query) {
  for (const name of CHOSEN) if (query[name] !== undefined && String(row[name] ?? '') !== query[name]) return false;
  for (const name of ['step', 'reward', 'length']) {
    const low = query[`${name}_min`],
      high = query[`${name}_max`];
    if (low !== undefined && !(row[name] !== null && row[name] >= low)) return false;
    if (high !== undefined && !(row[name] !== null && row[name] <= high)) return false;
  }
  if (query.ready === 'mismatch' && row.mismatch === null) return false;
  if (query.ready === 'suspected' && !row.suspicion) return false;
  if (query.ready === 'phrases' && !row.phrases.length) return false;
  if (query.ready === 'dropped' && row.group_status !== 'dropped') return false;
  const needle = query.text?.toLowerCase();
  return !needle || row.text.toLowerCase().includes(needle) || row.prompt.toLowerCase().includes(needle);
}

// Numbers and texts in order; what has none comes last in both directions.
function byValue(one, other, sign) {
  if (one === null || one === undefined) return other === null || other === undefined ? 0 : 1;
  if (other === null || other === undefined) return -1;
  return sign * (one < other ? -1 : one > other ? 1 : 0);
}
