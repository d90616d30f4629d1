import { registerHooks } from 'node:module';
import { MUTANTS } from './mutants.ts';

const name = process.env['MUTANT'];
const mutant = MUTANTS.find((each) => each.name === name);
if (mutant === undefined) throw new RangeError(`no mutant is called ${name ?? ''}`);

/** Loaded before anything else in a process of its own: files are loaded changed. */
registerHooks({
  load: (url, context, next) => {
    const loaded = next(url, context);
    const edits = mutant.edits.filter(({ file }) => url.endsWith(`/${file}`));
    const { source } = loaded;
    if (edits.length === 0 || source === undefined) return loaded;
    let text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString();
    for (const { find, replace } of edits) text = text.replace(find, () => replace);
    return { ...loaded, source: text };
  },
});
