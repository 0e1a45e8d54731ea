// All rollouts, from the server that the page came from.

class ServedRollouts {
  async choices() {
    return this.ask('choices', {});
  }

  // Look through all texts or tokens, if the query needs it; `told` gets the share that is done.
  async prepare(query, told) {
    if (!query.text && !['mismatch', 'phrases'].includes(query.ready)) return;
    const response = await fetch(`/api/scan?${new URLSearchParams(query)}`);
    if (!response.ok) throw new Error(await response.text());
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let left = ''; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (left + value).split('\n');
      left = lines.pop();
      if (lines.length) told(JSON.parse(lines.at(-1)));
    }
  }

  async page(query) {
    return this.ask('rollouts', query);
  }

  async group(id) {
    return this.ask('group', { id });
  }

  async ask(what, query) {
    const response = await fetch(`/api/${what}?${new URLSearchParams(query)}`);
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }
}
